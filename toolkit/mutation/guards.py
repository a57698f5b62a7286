"""Mutants of the declared guards: triggers that keep what grants and policies cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog, Function, Trigger
from toolkit.mutation.functions import with_body
from toolkit.mutation.model import Mutant, MutantKind, raw, written

_EXECUTE = " EXECUTE FUNCTION "
_INSTEAD = " INSTEAD OF "


def guard_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Of each guard: dropped, disabled, firing never or in replicas only, calling nothing."""
    functions = {function.signature: function for function in catalog.functions}
    for trigger in catalog.triggers:
        table = f"{trigger.schema_name}.{trigger.table_name}"
        rule = access.rules.get(table)
        if rule is None or trigger.trigger_name not in rule.guards:
            continue
        for what, statements in _broken(trigger, functions[trigger.function_signature]):
            yield Mutant(
                f"guard {what}: {trigger.trigger_name} on {table}",
                MutantKind.GUARD,
                table,
                statements,
            )


def _broken(trigger: Trigger, function: Function) -> Iterator[tuple[str, tuple[str, ...]]]:
    table = sql.Identifier(trigger.schema_name, trigger.table_name)
    name = sql.Identifier(trigger.trigger_name)
    drop = written("drop trigger {} on {}", name, table)
    yield "dropped", (drop,)
    if _INSTEAD not in trigger.definition:  # a view's cannot be switched off, nor be conditional
        yield "disabled", (written("alter table {} disable trigger {}", table, name),)
        yield (
            "firing in replicas only",
            (written("alter table {} enable replica trigger {}", table, name),),
        )
        before, _, after = trigger.definition.rpartition(_EXECUTE)
        yield "never firing", (drop, f"{before} WHEN (false){_EXECUTE}{after}")
    answer = "new" if trigger.is_for_each_row else "null"
    hollow = written("\nbegin\n  return {};\nend;\n", raw(answer))
    yield "calling nothing", (with_body(function.definition, function.body, hollow),)
