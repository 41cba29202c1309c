"""Passwords in the addresses of databases: kept out of every file, and out of messages.

An address without its password still works: ``tune`` takes one from its flag or from the
environment variable ``SB3_ATARI_STORAGE``, and PostgreSQL's driver looks up the password in
``PGPASSWORD`` or ``~/.pgpass``.
"""

from __future__ import annotations

import re
from typing import Any

#: Environment variable with the address that ``--storage`` would name; `ps` does not show it.
STORAGE_VARIABLE = "SB3_ATARI_STORAGE"

#: ``scheme://user:password@``; as SQLAlchemy reads it, a password may have any character but @,
#: and here up to the last one, if one was not written as %40 (or a slash is missing).
_USER = re.compile(r"([A-Za-z][\w+.-]+:/{1,3}[^:/]*):.*@", re.DOTALL)
#: A parameter of the query whose value is a secret: password, sslpassword, passwd, PWD, ...
_PARAMETER = re.compile(
    r"(?<=[?&])[^=&?]*(?:passw|pwd|passphrase|secret|token|odbc_connect)[^=&?]*=[^&]*&?",
    re.IGNORECASE,
)


def without_passwords(value: Any) -> Any:
    """Return settings without the passwords of addresses in them.

    >>> without_passwords("postgresql://me:secret@host/db?sslmode=require&password=secret")
    'postgresql://me@host/db?sslmode=require'
    >>> without_passwords({"storage": "mysql://root:secret@host", "n_jobs": 2})
    {'storage': 'mysql://root@host', 'n_jobs': 2}

    :param value: a text with at most one setting, or mappings, lists and tuples of them; anything
        else is returned as it is.
    """
    if isinstance(value, dict):
        return {key: without_passwords(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(without_passwords(one) for one in value)
    if not isinstance(value, str) or ":/" not in value:
        return value
    hidden = _PARAMETER.sub("", _USER.sub(r"\1@", value))
    return value if hidden == value else hidden.rstrip("?&")


def command_without_passwords(command: str) -> str:
    """Return a command line without the passwords of addresses in it.

    :param command: its words joined by blanks, so that a value reaches to the next flag.
    """
    parts = re.split(r"(\s+(?=-))", command)
    return "".join(without_passwords(part) for part in parts)
