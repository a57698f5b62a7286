import time
from collections import Counter
from tests.support.postgrest import postgrest
from tests.support.fake_auth import FakeAuth
from tests.support.postgrest import Keys
from tests.support.servers import Template
from toolkit.bootstrap import StartingPoint, DefaultPrivileges
from toolkit.isolation.access import load_access
from toolkit.isolation.api.people import DatabasePeople, AdminPeople
from toolkit.isolation.api.probes import prove_api
from toolkit.isolation.api.target import ApiTarget
import pytest, httpx
@pytest.mark.parametrize("t",[Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC"),Template(migrated=True),Template(migrated=True, regime=DefaultPrivileges.GRANT_NOTHING)])
def test_x(databases,t):
    d = databases(17)
    db = d.make(t)
    with postgrest(db) as rest, db.connect(autocommit=True) as c:
        t = ApiTarget(rest.url, rest.keys.anon, rest.keys.service, rest.keys.secret, scratch=True, refresh=True)
        part = prove_api(t, load_access(), DatabasePeople(c, rest.keys.secret))
        for f in part.findings: print(f.kind, f.subject, f.text, "\n     ", f.reproduce[:900])
        print(part.tally, part.seconds, part.skipped, part.facts, part.tally.probes)
    d.drop(db)
def test_y(databases):
    d = databases(17)
    db = d.make(Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC"))
    keys=Keys(); auth=FakeAuth(db,keys)
    with postgrest(db,keys=keys,auth=auth) as rest:
        t = ApiTarget(rest.url, rest.keys.anon, rest.keys.service)
        part = prove_api(t, load_access(), AdminPeople)
        for f in part.findings: print(f.kind, f.subject, f.text, "\n     ", f.reproduce[:900])
        print(part.tally, part.seconds, part.skipped, part.facts, part.tally.probes)
        print(auth.requests)
        # batch created_by by update
        u=db.add_user()
        h={"Authorization":"Bearer "+keys.user(u)}
        c=httpx.Client(base_url=rest.url+"/rest/v1",headers=h)
        r=c.post("/recalculation_batches",json={"user_id":str(u),"trigger_type":"MANUAL_CORRECTION","affected_events":[],"events_count":0,"created_by":str(u)}); print(r.status_code, r.text)
        r=c.patch("/recalculation_batches?user_id=eq."+str(u),json={"created_by":str(db.add_user())},headers={"Prefer":"return=representation"}); print(r.status_code, r.text)
    d.drop(db)
