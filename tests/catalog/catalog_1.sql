-- A catalog as the first release of its schema wrote it. Never edited: it stands for those that exist.
PRAGMA application_id = 1835363695;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
            );
INSERT INTO "acceptances" VALUES(1,'flights','clean','v4','v1','only a name',1003.0,1004.0,3);
INSERT INTO "acceptances" VALUES(2,'flights','clean','v5','v1','only a comma',1005.0,NULL,3);
CREATE TABLE adoptions (
                version TEXT PRIMARY KEY,
                run_id TEXT NOT NULL,
                files BLOB,
                at REAL NOT NULL
            ) WITHOUT ROWID
            ;
INSERT INTO "adoptions" VALUES('v2','r2',X'6D81A6726573756C74AB6F6C642E70617271756574',1006.0);
CREATE TABLE aliases (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL,
                step_key TEXT NOT NULL,
                job_name TEXT,
                version TEXT NOT NULL,
                stored_version TEXT NOT NULL,
                recipe INTEGER,
                UNIQUE (run_id, step_key)
            );
INSERT INTO "aliases" VALUES(3,'r1','report','flights','v3','v2',3);
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
            ;
INSERT INTO "claims" VALUES('v6','r3','fit','desk 1c4e pid:[4026531836]',4712,'98765',1037.5,3);
CREATE TABLE events (
                id INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL,
                are_reads INTEGER NOT NULL,
                step_keys TEXT NOT NULL,
                events BLOB NOT NULL
            );
INSERT INTO "events" VALUES(1,'r1',0,'clean
fit',X'6D9298AC535445505F53554343455353A27231CB408F480000000000A5636C65616E00A4646F6E6582A77365636F6E6473CB3FE0000000000000A66F7574707574A6726573756C74C098AC535445505F4641494C555245A27231CB408F500000000000A366697401A08084A46B696E64AA56616C75654572726F72A76D657373616765A76E6F20726F7773A974726163656261636BAC666C69676874732E70793A37A56361757365AB4B65794572726F723A2078');
INSERT INTO "events" VALUES(2,'r1',1,'clean',X'6D9198AF554E4445434C415245445F52454144A27231CB408F4C0000000000A5636C65616E00D93172656164732072617465732E6373762C207768696368206974732076657273696F6E20646F6573206E6F7420636F76657284A46B696E64A466696C65A477686174AF2F646174612F72617465732E637376A57768657265AC666C69676874732E70793A34AA6F705F76657273696F6EA26F31C0');
CREATE TABLE file_digests (
                path TEXT PRIMARY KEY,
                looks TEXT NOT NULL,
                digest TEXT NOT NULL
            ) WITHOUT ROWID
            ;
INSERT INTO "file_digests" VALUES('/data/flights.csv','640 1 2 3','fd1');
CREATE TABLE local_keys (local_key TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "local_keys" VALUES('l1');
INSERT INTO "local_keys" VALUES('l2');
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
            );
INSERT INTO "materializations" VALUES(1,'r1','clean','flights',0,'v1','l1','c1',1,0.5,1000.6);
INSERT INTO "materializations" VALUES(2,'r1','fit','flights',1,'v2','l2','c2',2,2.5,1000.7);
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
            ;
INSERT INTO "outputs" VALUES(1,0,'result','value','ov1','cd1',640,'by1','storage/ov1','io_manager');
INSERT INTO "outputs" VALUES(1,1,'rest','skipped',NULL,NULL,NULL,NULL,NULL,'io_manager');
INSERT INTO "outputs" VALUES(2,0,'result','value',NULL,NULL,NULL,NULL,NULL,'io_manager');
CREATE TABLE recipes (id INTEGER PRIMARY KEY, version TEXT NOT NULL, recipe BLOB NOT NULL);
INSERT INTO "recipes" VALUES(1,'v1',X'6D92A276319197A6636F6E666967A56C696D6974A26831A133C0C0C0');
INSERT INTO "recipes" VALUES(2,'v2',X'7A78019DD3AD0A024114C5F1CDE6CD6234C9CEF80D66B3D922E28CBAB0AC0BB38856B3C9A05516316CD062F609EE0B083E8C22ACC983706EBFBF74FEBB6CA99F9E7F384D16C65EA651389BA7AEE6529B8C824725F8736763D37118E5C55FB2F632A77E618AC14A00D30CE603ACCE6065803518AC0AB026836980B518AC07B03683F501D661B001C0BA0C36FC62D762C99F02149580411AD5408C342A8215D2A80A648338AA03D9228E2A41F688A35A9023E2A81A24471CD583DC10471521F737F702D6A30599');
INSERT INTO "recipes" VALUES(3,'v3',X'6D92A2763390');
CREATE TABLE replaced (version TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE replacing (version TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID;
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
            );
INSERT INTO "runs" VALUES(1,'r1','flights','FAILURE',1000.5,1002.0,'flights.py:flights','r0','r0',0.25,4711,'2bf48d03cad75574c6f88190bb082ba7',X'6D81A47465616DA464617461',X'6D82A77375636365737301A76661696C75726501',X'6D81A36F707381A5636C65616E81A6636F6E66696781A56C696D697403',X'6D82A5636C65616E93A352554EA96E657665722072756EA773756363657373A366697493A352554EA96E657665722072756EA76661696C757265');
CREATE TABLE sources (digest TEXT PRIMARY KEY, text BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO "sources" VALUES('s1',X'789C4B494D5348CE494DCCD3D0B452D0D3D3E3020030D80492');
CREATE TABLE stamps (
                source TEXT PRIMARY KEY,
                digest TEXT NOT NULL,
                shown TEXT NOT NULL,
                value BLOB NOT NULL,
                at REAL NOT NULL
            );
INSERT INTO "stamps" VALUES('every 1 day','sd1','2026-11-20',X'6D94A86461746574696D65B3323032362D31312D32305430303A30303A30300092A85A6F6E65496E666FAD4575726F70652F4265726C696E',1000.0);
INSERT INTO "stamps" VALUES('orders','sd2','7',X'6D92A57475706C659292A7446563696D616CA4372E353092A46C6973749301C4017892A4646963749192A2617492A464617465AA323032362D31312D3230',1000.5);
CREATE TABLE version_sets (digest TEXT PRIMARY KEY, versions BLOB NOT NULL);
INSERT INTO "version_sets" VALUES('2bf48d03cad75574c6f88190bb082ba7',X'6D83A5636C65616EA27631A3666974A27632A67265706F7274A27633');
CREATE INDEX runs_by_time ON runs (started_at);
CREATE INDEX runs_by_job ON runs (job_name, started_at);
CREATE INDEX events_by_run ON events (run_id);
CREATE INDEX undeclared_reads ON events (run_id) WHERE are_reads;
CREATE INDEX materializations_by_version ON materializations (version)
            WHERE version IS NOT NULL
            ;
CREATE INDEX materializations_by_content ON materializations (content_key)
            WHERE content_key IS NOT NULL
            ;
CREATE INDEX materializations_by_step ON materializations (job_name, step_key, id, recipe, seconds);
CREATE TRIGGER outputs_go_with_their_materialization AFTER DELETE ON materializations
            BEGIN
                DELETE FROM outputs WHERE materialization = old.id;
            END;
CREATE INDEX aliases_by_version ON aliases (version);
CREATE INDEX aliases_with_recipe ON aliases (job_name, step_key) WHERE recipe IS NOT NULL;
CREATE INDEX aliases_without_job ON aliases (run_id) WHERE job_name IS NULL;
CREATE INDEX recipes_by_version ON recipes (version);
CREATE UNIQUE INDEX acceptances_that_hold ON acceptances (version) WHERE revoked_at IS NULL;
CREATE INDEX acceptances_revoked ON acceptances (stored_version)
            WHERE revoked_at IS NOT NULL
            ;
CREATE TABLE foreign_runs (run_id TEXT PRIMARY KEY, host TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "foreign_runs" VALUES('r9','build-7');
CREATE TABLE shared (version TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "shared" VALUES('v2');
CREATE TABLE segments (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "segments" VALUES('history/flights/1');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('acceptances',2);
COMMIT;
