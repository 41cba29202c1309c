"""Tests of removing passwords from database URLs."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from sb3_atari_course._common.passwords import (
    command_without_passwords,
    without_passwords,
)

#: URL -> the same without its passwords
ADDRESSES = {
    "postgresql://user:TOPSECRET@host/db": "postgresql://user@host/db",
    "postgresql://user:TOPSECRET@host": "postgresql://user@host",
    "postgres://user:TOPSECRET@[::1]:5432/db?a=b": "postgres://user@[::1]:5432/db?a=b",
    "postgresql+psycopg2://:TOPSECRET@host": "postgresql+psycopg2://@host",
    "postgresql://u%40x:TOP%2FSECRET%40TOPSECRET@h/db": "postgresql://u%40x@h/db",
    "postgresql://user:TOP/SEC?TOPSECRET#:@host/db": "postgresql://user@host/db",
    "postgresql://user:TOP@TOPSECRET@host": "postgresql://user@host",
    "postgresql://user:TOP SECRET TOPSECRET@host": "postgresql://user@host",
    "postgresql://me@server:TOPSECRET@host": "postgresql://me@server@host",
    "mysql://root:TOPSECRET@localhost:3306": "mysql://root@localhost:3306",
    "mysql:/root:TOPSECRET@localhost": "mysql:/root@localhost",
    "postgresql://host/db?user=me&password=TOPSECRET": "postgresql://host/db?user=me",
    "postgresql://host/db?password=TOP%20SECRET+TOPSECRET": "postgresql://host/db",
    "postgresql://h?a=1&PassWord=TOPSECRET?&b=2": "postgresql://h?a=1&b=2",
    "postgresql://u:TOPSECRET@h?sslpassword=TOPSECRET&sslkey=x": "postgresql://u@h?sslkey=x",
    "mysql://h?passwd=TOPSECRET&ssl_key_password=TOPSECRET": "mysql://h",
    "mssql+pyodbc:///?odbc_connect=PWD%3DTOPSECRET": "mssql+pyodbc:///",
}
HARMLESS = [
    "postgresql://me@host:5432/db?sslmode=require",
    "sqlite:///x.db",
    "studies/journal.log",
    "C:/Users/me@home/x.log",
    "http://localhost:8080/x",
    "env_kwargs:{'a': 'b:/c@d'}",
    "password=not an address",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_removes_only_the_passwords_of_a_url(address: str) -> None:
    assert without_passwords(address) == ADDRESSES[address]
    assert without_passwords(f"--storage={address}") == f"--storage={ADDRESSES[address]}"


@pytest.mark.parametrize(
    "address", [one for one in ADDRESSES if one.count("@") < 2 and "://" in one]
)
def test_sqlalchemy_reads_the_result_as_a_url_without_password(address: str) -> None:
    left, before = make_url(without_passwords(address)), make_url(address)
    assert left.password is None
    assert (left.username or None, left.host) == (before.username or None, before.host)
    assert (left.port, left.database or None) == (before.port, before.database or None)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("glue", [" ", "="])
def test_keeps_the_other_arguments_of_a_command(address: str, glue: str) -> None:
    command = "python -m sb3_atari_course train --storage{}{} --seed 1 -params a:'b c'"
    expected = command.format(glue, ADDRESSES[address])
    assert command_without_passwords(command.format(glue, address)) == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_other_strings_are_unchanged(text: str) -> None:
    assert without_passwords(text) == command_without_passwords(text) == text


def test_removes_passwords_in_nested_settings() -> None:
    (address, shown), *_ = ADDRESSES.items()
    nested = {"a": [address, 1, None], "b": {"c": (address, 2.5)}, "d": len}
    assert without_passwords(nested) == {"a": [shown, 1, None], "b": {"c": (shown, 2.5)}, "d": len}
