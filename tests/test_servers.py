"""The servers that tests start are real, empty at first, and can fail on purpose."""

import socket

import pytest


def ask(server, command):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(1024).decode()


def test_a_redis_server_starts_empty_fails_and_comes_back(redis):
    assert ask(redis, "DBSIZE") == ":0\r\n"
    assert ask(redis, "SET k v") == "+OK\r\n"
    redis.stop()
    with pytest.raises(ConnectionError):
        ask(redis, "PING")
    redis.start()
    assert ask(redis, "DBSIZE") == ":0\r\n"


def test_each_test_finds_it_running_and_empty(redis):
    assert ask(redis, "DBSIZE") == ":0\r\n"
