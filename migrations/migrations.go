// Package migrations holds the schema as numbered SQL files, forward only.
package migrations

import "embed"

// FS holds the files.
//
//go:embed *.sql
var FS embed.FS
