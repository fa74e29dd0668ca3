"""Everything about the machine: file names, folders, temporary files, addresses, causes of errors.

Comes in: untrusted names, paths, errors of the system. Goes out: safe file names (`file_names`), temporary files
(`scratch`), sockets (`addresses`), one cause for each error (`causes`), the package's own files (`shipped`). Touches
the file system and listening sockets only.
"""
