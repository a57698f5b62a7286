"""How each page's commands are run: what was done before, and what stands in for a reader's own."""

from __future__ import annotations

from tests.support.doc_walks import ZONE, Walk
from tests.support.processes import CHECKOUT

NO_SUPABASE = "wants a Supabase project with an API: tests/isolation/test_api_isolation.py"
FOR_EVER = "until Ctrl-C: tests/operations/test_status_output.py"
MINUTES = "a quarter of an hour: the workflow test runs it, tests/isolation a sample"
BENCH = "it wants the machine for itself: tests/acceptance/test_bench_run.py"
REHEARSE = f"meterledger rehearse app.dump --time-zone {ZONE}"
DUMP = 'pg_dump --format=custom --file=app.dump "$DATABASE_URL"'
MADE_HERE = {DUMP: "app mine && dump mine"}
KEEP, BECAUSE = "meterledger duplicates keep staging", "--because 'two meters'"

WALKS = (
    Walk(
        "docs/local-server.md",
        instead={"meterledger local psql": "meterledger local psql -c 'select 1'"},
    ),
    Walk("docs/rehearsal.md", instead=MADE_HERE),
    Walk(
        "docs/quick-start.md",
        instead={
            'make demo ARGS="--rows 20000 --keep"': "meterledger demo --rows 5000 --keep",
            **MADE_HERE,
        },
        left_out={
            ". .venv/bin/activate": "it is on the PATH already",
            "make clean": "it would remove the tests' own .venv",
        },
    ),
    Walk(
        "docs/performance.md",
        # make reports a missed target, which is an answer too, with 2.
        instead={
            'make bench ARGS="--render"': f"cp -r {CHECKOUT}/docs/bench .\n"
            f'make -C {CHECKOUT} bench ARGS="--render --out $PWD/bench" || [ $? = 2 ]',
        },
        left_out={
            "make bench": BENCH,
            'make bench ARGS="--large"': BENCH,
            'make bench ARGS="--rows 100000 --rounds 2"': BENCH,
            'make bench ARGS="--rows 100000 --only writing --out /tmp/bench"': BENCH,
        },
    ),
    Walk(
        "docs/environments.md",
        before="app staging && DATABASE_URL=$(meterledger local url --database staging)\n"
        f"export DATABASE_URL METERLEDGER_TIME_ZONE={ZONE} METERLEDGER_PROTECTION=open",
        instead={
            "meterledger env check staging": "unset DATABASE_URL METERLEDGER_PROTECTION\n"
            "meterledger env check staging --no-api",
            "meterledger env record staging": "meterledger deploy staging --defer-backfill\n"
            "meterledger env record staging",
            "meterledger env record staging --replace production": "sql staging"
            " \"update ledger.settings set environment = 'production'\"\n"
            "meterledger env record staging --replace production",
        },
    ),
    Walk(
        "docs/preflight.md",
        before="rolled_out staging && decided staging\n"
        "app production && environment production\n"
        "meterledger receipt staging\n"
        'cp "$METERLEDGER_HOME"/receipts/staging-*.json staging.json',
        instead={
            "meterledger preflight production --receipt staging.json --acknowledge upsert"
            " --acknowledge disk": "may_find meterledger preflight production"
            " --receipt staging.json --acknowledge upsert --acknowledge disk",
            "meterledger preflight production --json": "may_find meterledger preflight production"
            " --json",
            "meterledger preflight local": "may_find meterledger preflight local",
        },
    ),
    Walk(
        "docs/backup.md",
        before="rolled_out production\nsql postgres 'create database copy' && environment copy",
        instead={
            "meterledger backup restore production --into copy": "meterledger backup restore"
            " production --into local",
        },
    ),
    Walk(
        "docs/deploy.md",
        before="for name in staging production; do app $name && environment $name; done",
    ),
    Walk("docs/backfill.md", before="app production && environment production"),
    Walk(
        "docs/validation.md",
        before="meterledger demo --rows 5000 --keep\nrolled_out staging\n"
        "url=$(meterledger local url --database staging)",
        instead={
            "meterledger validate --database-url postgresql://…": "meterledger validate"
            ' --database-url "$url"',
        },
    ),
    Walk(
        "docs/isolation.md",
        before="meterledger demo --rows 5000 --keep\nrolled_out staging\n"
        "url=$(meterledger local url --database staging)",
        instead={
            "meterledger isolation --database-url postgresql://…": "meterledger isolation"
            ' --database-url "$url"',
        },
        left_out={"meterledger isolation staging --api": NO_SUPABASE, "make mutation": MINUTES},
    ),
    Walk(
        "docs/security.md",
        before="rolled_out staging",
        left_out={"meterledger isolation staging --api": NO_SUPABASE},
    ),
    Walk(
        "docs/troubleshooting.md",
        before="rolled_out staging",
        instead={
            f"meterledger {word} ENV": f"meterledger {word} staging"
            for word in ("status", "doctor", "validate")
        },
    ),
    Walk(
        "docs/review.md",
        before="rolled_out staging\n"
        'reject() { sql staging "select reading_id from ledger.migration_rejects'
        ' where waived_at is null and reason $1 limit 1"; }\n'
        'match() { sql staging "select event_id, reading_id from ledger.open_matches limit 1"'
        " | tr '|' ' '; }\n",
        instead={
            "meterledger rejects staging": "may_find meterledger rejects staging",
            "meterledger duplicates staging": "may_find meterledger duplicates staging",
            "meterledger rejects show staging ID": "meterledger rejects show staging"
            ' "$(reject "is not null")"',
            "meterledger rejects correct staging ID --set kwh_value=12.50 --set date=2024-05-01"
            " --null token_cost": "meterledger rejects correct staging"
            ' "$(reject "not like \'no profile%\'")" --set kwh_value=12.50 --set date=2024-05-01'
            " --null token_cost",
            "meterledger rejects retry staging ID …": "may_find meterledger rejects retry staging"
            ' "$(reject "is not null")"',
            "meterledger rejects waive staging ID --because 'test account' --by ana": "meterledger"
            ' rejects waive staging "$(reject "is not null")" --because \'test account\' --by ana',
            "meterledger duplicates show staging EVENT": "meterledger duplicates show staging"
            " $(match | cut -d ' ' -f 1)",
            f"{KEEP} EVENT READING {BECAUSE}": f"{KEEP} $(match) {BECAUSE}",
            "meterledger duplicates merge staging EVENT READING": "meterledger duplicates merge"
            " staging $(match)",
        },
    ),
    Walk("docs/rollback.md", before="rolled_out production"),
    Walk(
        "docs/monitoring.md",
        before="rolled_out staging && rolled_out production",
        instead={
            "meterledger status production --prometheus >"
            " /var/lib/node_exporter/meterledger.prom.new &&": "meterledger status production"
            " --prometheus > meterledger.prom.new",
            "mv /var/lib/node_exporter/meterledger.prom.new"
            " /var/lib/node_exporter/meterledger.prom": "mv meterledger.prom.new meterledger.prom",
        },
        left_out={"meterledger status production --watch 5": FOR_EVER},
    ),
    Walk("docs/scheduled.md", before="rolled_out production"),
    Walk("docs/doctor.md", before="rolled_out staging && rolled_out production"),
    Walk(
        "docs/cutover.md",
        before="rolled_out staging && decided staging",
        instead={
            "meterledger cutover ENV --plan": "may_find meterledger cutover staging --plan",
            "meterledger cutover ENV --acknowledge upserts": "meterledger cutover staging"
            " --acknowledge upserts",
            "meterledger cutback ENV --plan": "may_find meterledger cutback staging --plan",
            "meterledger cutback ENV": "number=$(sql staging 'select count(distinct"
            " (user_id, reading_id)) from ledger.archive_obstacles()')\n"
            'meterledger cutback staging --set-aside "$number"',
            "meterledger contract ENV": "meterledger cutover staging --acknowledge upserts\n"
            "meterledger backup staging && meterledger contract staging --grace-days 0",
        },
    ),
    Walk(
        "docs/promotion.md",
        before="for name in staging production; do app $name && environment $name; done",
        left_out={
            "meterledger env init staging && meterledger env init production": "done before",
            ". .venv/bin/activate && docs/promotion.sh": "a test of its own",
        },
    ),
    Walk(
        "docs/rollout.md",
        before="app mine && dump mine\n"
        "for name in staging production; do app $name && environment $name; done",
        instead={
            "meterledger rejects staging": "may_find meterledger rejects staging",
            "meterledger duplicates staging": "may_find meterledger duplicates staging",
            "meterledger rejects production": "decided production\nmeterledger rejects production",
            "meterledger cutover production --plan": "may_find meterledger cutover production"
            " --plan",
            "meterledger contract production --plan": "may_find meterledger contract production"
            " --plan",
            "meterledger contract production": "meterledger contract production --grace-days 0",
        },
        left_out={
            DUMP: "done before",
            "meterledger env init staging": "done before",
            "meterledger env init production": "done before",
            'PGOPTIONS="-c ledger.time_zone=Asia/Jakarta" supabase db push …': "a reader's own"
            " push: tests/integration/test_push.py",
            'PGOPTIONS="-c ledger.defer_backfill=on" supabase db push …': "a reader's own push:"
            " tests/migrations/test_deferral.py",
        },
    ),
    Walk(
        "README.md",
        instead={
            "meterledger demo --rows 20000 --time-zone Asia/Jakarta --keep": "meterledger demo"
            f" --rows 5000 --time-zone {ZONE} --keep",
            **MADE_HERE,
            "meterledger local stop": "meterledger local stop && meterledger local start",
            "meterledger env init staging && meterledger env init production": "for name in"
            " staging production; do app $name && environment $name; done",
            "meterledger cutover production --plan": "may_find meterledger cutover production"
            " --plan",
        },
        left_out={
            "make demo": "tests/acceptance/test_demo.py, and the workflow test from a fresh clone",
            "make test": "it would run this",
            "meterledger cutback production": "of a database that is cut over: docs/cutover.md",
            "meterledger demo --keep && meterledger isolation local": "both are run above",
        },
    ),
)
