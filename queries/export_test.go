package queries

// Migrator is for tests that stop at a migration.
var Migrator = migrator
