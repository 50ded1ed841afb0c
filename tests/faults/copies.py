"""Copies of the tables that a backup may have forgotten something in, and putting them back."""

from sqlalchemy import Engine, text

TABLES = (
    *("chains", "lanes", "plans", "batches", "transactions", "attempts"),
    *("recoveries", "sightings", "approvals", "signatures"),
)


def copy_tables(owner: Engine, name: str) -> None:
    """The tables as they are at one moment, whoever writes meanwhile, in a schema of this name."""
    with owner.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {name}"))
        for table in TABLES:
            connection.execute(text(f"CREATE TABLE {name}.{table} AS TABLE public.{table}"))


def put_back(owner: Engine, name: str) -> None:
    """The copy takes the tables' place, once everybody is out of them."""
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"LOCK TABLE {', '.join(TABLES)}"))
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(
                text(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {name}.{table}")
            )
