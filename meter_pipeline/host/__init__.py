"""What the machine gives and refuses: file names, folders, temporary files, causes of errors.

Comes in: untrusted names, paths, errors of the system. Goes out: safe file names (`file_names`), folders for
temporary bytes (`scratch`), one cause for each error (`causes`), the package's own files (`shipped`). Touches the
file system only.
"""
