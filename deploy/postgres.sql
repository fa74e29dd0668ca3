-- Dagster's tables and the ledger's do not share a database.
create database dagster;
