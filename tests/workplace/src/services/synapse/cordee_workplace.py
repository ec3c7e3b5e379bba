"""A Synapse module for a workplace that is thrown away afterwards.

It switches off waiting for the disk (a crash of the server loses nothing by that, only a power cut would), and, while
the history is written, dates back what has no time of its own: creating a room takes no time from its caller, and a
conversation of last week must not start in a room that was made today.
"""

import synapse.events.builder as builder
from synapse.storage.engines.sqlite import Sqlite3Engine


def _without_waiting_for_the_disk() -> None:
    connected = Sqlite3Engine.on_new_connection

    def on_new_connection(self, db_conn):
        connected(self, db_conn)
        db_conn.execute("PRAGMA synchronous = OFF;")

    Sqlite3Engine.on_new_connection = on_new_connection


def _dated_back(milliseconds: int) -> None:
    create = builder.create_local_event_from_event_dict

    def create_local_event_from_event_dict(clock, hostname, signing_key, room_version, event_dict, *rest, **named):
        event_dict.setdefault("origin_server_ts", int(clock.time_msec()) - milliseconds)
        return create(clock, hostname, signing_key, room_version, event_dict, *rest, **named)

    builder.create_local_event_from_event_dict = create_local_event_from_event_dict


class Workplace:
    @staticmethod
    def parse_config(config):
        _without_waiting_for_the_disk()
        if config.get("dated_back_ms"):
            _dated_back(config["dated_back_ms"])
        return config

    def __init__(self, config, api):
        pass
