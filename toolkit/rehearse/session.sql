-- Purpose: what pg_dump's own preamble sets for a restore, and no waiting for a disk that
--          holds only a copy. Messages in English: the restore reads the names in them.
-- Objects: settings of this session.

set statement_timeout = 0;
set lock_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set client_encoding = 'UTF8';
set standard_conforming_strings = on;
select pg_catalog.set_config('search_path', '', false);
set check_function_bodies = false;
set xmloption = content;
set client_min_messages = warning;
set row_security = off;
set lc_messages = 'C';
set synchronous_commit = off;
