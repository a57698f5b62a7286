"""The declared access policy: identities, rules and how far each reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

OWN, ONCE, ALL, NONE, NO = "own", "once", "all", "none", "no"
REACHES = (OWN, ONCE, ALL, NONE, NO)
ROW_OPERATIONS = ("select", "insert", "update", "delete")


@dataclass(frozen=True)
class Identity:
    """Somebody who asks.

    Attributes:
        name: as the declaration calls it.
        role: the database role that the request runs as.
        text: who that is.
        like: the identity whose rules it has where none of its own is declared.
        owns: whether it has rows of its own.
    """

    name: str
    role: str
    text: str
    like: str = ""
    owns: bool = True


@dataclass(frozen=True)
class Rule:
    """What the declaration says of one object.

    Attributes:
        name: schema-qualified; of a function with its argument types.
        kind: table, view, materialized view, sequence, function, schema.
        text: what it is for.
        reach: operation → identity → how far (own, once, all, none, no), as declared.
        found: the app's own, whose grants may be wider than their reach.
        optional: why it may be missing; empty where it must be there.
        owner: of a relation, the column that says whose a row is; empty: nobody's.
        row: of a table, column → SQL expression of a valid row; {user} is the user's id.
        touch: of a table, a change that a user may make, as in `set …`.
        insert_except: columns that no API role may insert.
        update_columns: the only columns that API roles may update; None: all.
        keys: why not every key carries the owner's column; empty where each does.
        policies: of a table that nobody reaches, why it has policies all the same, of the app's
            making; empty: it must not.
        conditions: what the policy for inserts demands beside whose row it is, as Postgres
            writes it.
        guards: trigger → the function that it must call, and when it fires.
        reads: of a view in an exposed schema, the relations that it may read.
        owner_rights: of a view, why it may run with its owner's rights; empty: it may not.
        over: of such a view, the relation whose users it shows, since its owner sees none in it.
        definer: of a function, why it runs with its owner's rights; empty: it must not.
        volatility: of a function.
        search_path: what a function's search_path is pinned to; 'none: …' gives the reason
            why it is not pinned.
        call: of a function, a statement that counts what it answers.
    """

    name: str
    kind: str
    text: str = ""
    reach: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    found: bool = False
    optional: str = ""
    owner: str = ""
    row: Mapping[str, str] = field(default_factory=dict)
    touch: str = ""
    insert_except: tuple[str, ...] = ()
    update_columns: tuple[str, ...] | None = None
    keys: str = ""
    policies: str = ""
    conditions: tuple[str, ...] = ()
    guards: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    owner_rights: str = ""
    over: str = ""
    definer: str = ""
    volatility: str = "volatile"
    search_path: str = ""
    call: str = ""

    @property
    def schema(self) -> str:
        """Of the object; a schema's own name."""
        return self.name.partition(".")[0]

    @property
    def local_name(self) -> str:
        """The name without its schema."""
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class Waiver:
    """A finding of Supabase's advisors that stands, for one exact definition.

    Attributes:
        lint: the advisor's name of the lint.
        object: what it is about, as Postgres describes it.
        definition: the object's definition; another one is not waived.
        reason: why it stands.
    """

    lint: str
    object: str
    definition: str
    reason: str


@dataclass(frozen=True)
class Access:
    """The whole declaration.

    Attributes:
        identities: in the order of the file.
        exposed: schemas that the REST API serves.
        proven: schemas whose every object must be declared.
        platform: Supabase's own schemas, not proven here.
        later: schema → kind of object (tables, …) → no, or platform.
        rules: name → rule, of every kind.
        waivers: of the advisors' findings.
        cut_over: name → rule of what is there, or is something else, while the legacy name is a
            view.
    """

    identities: tuple[Identity, ...]
    exposed: tuple[str, ...]
    proven: tuple[str, ...]
    platform: tuple[str, ...]
    later: Mapping[str, Mapping[str, str]]
    rules: Mapping[str, Rule]
    waivers: tuple[Waiver, ...] = ()
    cut_over: Mapping[str, Rule] = field(default_factory=dict)

    def identity(self, name: str) -> Identity:
        """One identity by its name."""
        return next(identity for identity in self.identities if identity.name == name)

    def after_cutover(self) -> Access:
        """The declaration of a database whose legacy name is a view."""
        return replace(self, rules={**self.rules, **self.cut_over})

    def of_kind(self, *kinds: str) -> Iterator[Rule]:
        """The rules of some kinds, in the order of the file."""
        return (rule for rule in self.rules.values() if rule.kind in kinds)

    def reach(self, rule: Rule, operation: str, identity: Identity) -> str:
        """How far an identity reaches with an operation: own, once, all, none or no."""
        declared = rule.reach.get(operation, {})
        if identity.name in declared:
            return declared[identity.name]
        return declared.get(identity.like, NO)

    def roles(self) -> tuple[str, ...]:
        """The database roles that identities run as, each once."""
        return tuple(dict.fromkeys(identity.role for identity in self.identities))
