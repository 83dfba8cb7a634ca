"""The catalog's tables, as numbered migrations.

A migration that has been released is never edited: a change is a new one, appended with the next number.
The number stands in the file (`PRAGMA user_version`), and a memo refuses a file with a higher number than it
knows. So whatever an older memo could not read, a new kind of event included, needs a new number.
"""

from __future__ import annotations

APPLICATION_ID = 0x6D656D6F
"""Written into every catalog ("memo" in ASCII), so that no other database is ever taken for one."""

MIGRATIONS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        1,
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            # `steps` stands last: it can be megabytes, and listing runs must not read past it.
            """
            CREATE TABLE runs (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL UNIQUE,
                job_name TEXT NOT NULL,
                status TEXT NOT NULL,
                started_at REAL NOT NULL,
                ended_at REAL,
                target TEXT,
                parent_run_id TEXT,
                root_run_id TEXT,
                seconds_saved REAL NOT NULL,
                pid INTEGER,
                versions TEXT,
                tags BLOB,
                counts BLOB,
                run_config BLOB,
                steps BLOB
            )
            """,
            "CREATE INDEX runs_by_time ON runs (started_at)",
            "CREATE INDEX runs_by_job ON runs (job_name, started_at)",
            # A row holds what happened in a run between two writes, and the keys of the steps in which, a line each.
            # What they were seen to read undeclared has rows of its own: it stays when what else happened in the run
            # is forgotten.
            """
            CREATE TABLE events (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL,
                are_reads INTEGER NOT NULL,
                step_keys TEXT NOT NULL,
                events BLOB NOT NULL
            )
            """,
            "CREATE INDEX events_by_run ON events (run_id)",
            "CREATE INDEX undeclared_reads ON events (run_id) WHERE are_reads",
            # The ids of materializations and aliases are drawn from one sequence: of two rows, whichever
            # table they are in, the one with the higher id is the later.
            """
            CREATE TABLE materializations (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL,
                step_key TEXT NOT NULL,
                job_name TEXT NOT NULL,
                attempt INTEGER NOT NULL,
                version TEXT,
                local_key TEXT,
                content_key TEXT,
                recipe INTEGER,
                seconds REAL NOT NULL,
                started_at REAL NOT NULL,
                UNIQUE (run_id, step_key)
            )
            """,
            """
            CREATE INDEX materializations_by_version ON materializations (version)
            WHERE version IS NOT NULL
            """,
            """
            CREATE INDEX materializations_by_content ON materializations (content_key)
            WHERE content_key IS NOT NULL
            """,
            # With what the latest ones of a step are chosen by: runs without memoization leave no recipe, and what was
            # adopted took no time to make.
            "CREATE INDEX materializations_by_step ON materializations (job_name, step_key, id, recipe, seconds)",
            """
            CREATE TABLE outputs (
                materialization INTEGER NOT NULL,
                position INTEGER NOT NULL,
                name TEXT NOT NULL,
                kind TEXT NOT NULL,
                version TEXT,
                content_digest TEXT,
                size INTEGER,
                digest TEXT,
                place TEXT,
                io_manager_key TEXT NOT NULL,
                PRIMARY KEY (materialization, position)
            ) WITHOUT ROWID
            """,
            """
            CREATE TRIGGER outputs_go_with_their_materialization AFTER DELETE ON materializations
            BEGIN
                DELETE FROM outputs WHERE materialization = old.id;
            END
            """,
            # A table of its own, so that "has this code ever run" outlives the rows it was learnt from.
            "CREATE TABLE local_keys (local_key TEXT PRIMARY KEY) WITHOUT ROWID",
            # `job_name` is empty while the run itself is not in the catalog yet.
            """
            CREATE TABLE aliases (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL,
                step_key TEXT NOT NULL,
                job_name TEXT,
                version TEXT NOT NULL,
                stored_version TEXT NOT NULL,
                recipe INTEGER,
                UNIQUE (run_id, step_key)
            )
            """,
            "CREATE INDEX aliases_by_version ON aliases (version)",
            "CREATE INDEX aliases_with_recipe ON aliases (job_name, step_key) WHERE recipe IS NOT NULL",
            "CREATE INDEX aliases_without_job ON aliases (run_id) WHERE job_name IS NULL",
            # Versions whose stored content was replaced by another, by the materialization of this id: by force, as
            # nothing else gives two contents to one version. Nearly always empty, so that planning may ask for all.
            "CREATE TABLE replaced (version TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
            # By version too: what a version is made of is also known of steps that failed, which stored nothing.
            # Versions that a run has begun to replace; the materialization that ends it takes the row away.
            "CREATE TABLE replacing (version TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE recipes (id INTEGER PRIMARY KEY, version TEXT NOT NULL, recipe BLOB NOT NULL)",
            "CREATE INDEX recipes_by_version ON recipes (version)",
            # The version of every step of a run, once for all the runs in which they are the same.
            "CREATE TABLE version_sets (digest TEXT PRIMARY KEY, versions BLOB NOT NULL)",
            "CREATE TABLE sources (digest TEXT PRIMARY KEY, text BLOB NOT NULL) WITHOUT ROWID",
            # What is outside, as it was when it was last looked at: files by absolute path, sources by name.
            """
            CREATE TABLE file_digests (
                path TEXT PRIMARY KEY,
                looks TEXT NOT NULL,
                digest TEXT NOT NULL
            ) WITHOUT ROWID
            """,
            """
            CREATE TABLE stamps (
                source TEXT PRIMARY KEY,
                digest TEXT NOT NULL,
                shown TEXT NOT NULL,
                value BLOB NOT NULL,
                at REAL NOT NULL
            )
            """,
            # `since` is the last id that materializations and aliases had drawn when it was accepted: what stands
            # under the stored version with a higher one, the accepted code may have made. AUTOINCREMENT, so that the
            # number by which one was revoked never means another.
            """
            CREATE TABLE acceptances (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_name TEXT NOT NULL,
                step_key TEXT NOT NULL,
                version TEXT NOT NULL,
                stored_version TEXT NOT NULL,
                reason TEXT NOT NULL,
                at REAL NOT NULL,
                revoked_at REAL,
                since INTEGER NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX acceptances_that_hold ON acceptances (version) WHERE revoked_at IS NULL",
            """
            CREATE INDEX acceptances_revoked ON acceptances (stored_version)
            WHERE revoked_at IS NOT NULL
            """,
            # Nearly always empty too: the materialization of the version by another run takes the row away.
            """
            CREATE TABLE adoptions (
                version TEXT PRIMARY KEY,
                run_id TEXT NOT NULL,
                files BLOB,
                at REAL NOT NULL
            ) WITHOUT ROWID
            """,
            # What is running now; empty while nothing runs. A row goes in the transaction that records the step's
            # materialization. `since` is the last id that materializations had drawn when it was claimed: one of the
            # version by another run with a higher id says that both have stored it.
            """
            CREATE TABLE claims (
                version TEXT PRIMARY KEY,
                run_id TEXT NOT NULL,
                step_key TEXT NOT NULL,
                host TEXT NOT NULL,
                pid INTEGER NOT NULL,
                pid_started TEXT NOT NULL,
                lease_until REAL NOT NULL,
                since INTEGER NOT NULL
            ) WITHOUT ROWID
            """,
            # Runs of other homes, which are in `runs` for what they tell of, and are not listed.
            "CREATE TABLE foreign_runs (run_id TEXT PRIMARY KEY, host TEXT NOT NULL) WITHOUT ROWID",
            # Versions of which the shared place has what their latest materialization tells.
            "CREATE TABLE shared (version TEXT PRIMARY KEY) WITHOUT ROWID",
            # Segments of history in the shared place that have been taken in here, passed over, or come from here.
            "CREATE TABLE segments (name TEXT PRIMARY KEY) WITHOUT ROWID",
        ),
    ),
)

CURRENT = MIGRATIONS[-1][0]
"""The number of the schema that this memo reads and writes."""
