"""Removal of passwords from database URLs in files and messages.

A URL without its password still works: ``tune`` takes it from its flag or from the environment
variable ``SB3_ATARI_STORAGE``, and PostgreSQL's driver looks up the password in ``PGPASSWORD`` or
``~/.pgpass``.
"""

from __future__ import annotations

import re
from typing import Any

#: Environment variable with the database URL for ``--storage``; ``ps`` does not list it.
STORAGE_VARIABLE = "SB3_ATARI_STORAGE"

#: ``scheme://user:password@``. In SQLAlchemy a password may have any character but ``@``; this also
#: matches up to the last ``@``, in case it was not escaped as ``%40``, or a slash is missing.
_USER = re.compile(r"([A-Za-z][\w+.-]+:/{1,3}[^:/]*):.*@", re.DOTALL)
#: Query parameter with a secret value: password, sslpassword, passwd, PWD, ...
_PARAMETER = re.compile(
    r"(?<=[?&])[^=&?]*(?:passw|pwd|passphrase|secret|token|odbc_connect)[^=&?]*=[^&]*&?",
    re.IGNORECASE,
)


def without_passwords(value: Any) -> Any:
    """Return settings without the passwords of database URLs.

    >>> without_passwords("postgresql://me:secret@host/db?sslmode=require&password=secret")
    'postgresql://me@host/db?sslmode=require'
    >>> without_passwords({"storage": "mysql://root:secret@host", "n_jobs": 2})
    {'storage': 'mysql://root@host', 'n_jobs': 2}

    :param value: a string with at most one setting, or dicts, lists and tuples of them; anything
        else is returned unchanged.
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
    """Return a command line without the passwords of database URLs.

    :param command: arguments joined by spaces; a value extends to the next flag.
    """
    parts = re.split(r"(\s+(?=-))", command)
    return "".join(without_passwords(part) for part in parts)
