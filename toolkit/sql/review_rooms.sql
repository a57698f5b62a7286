-- Which of the tables that a review needs are there.
select
  to_regclass('ledger.migration_rejects') is not null as rejects,
  to_regclass('ledger.near_matches') is not null as matches,
  to_regclass('ledger.reviewed_matches') is not null as decisions
