"""One SQL statement a file, loaded by toolkit.resources.statement()."""
