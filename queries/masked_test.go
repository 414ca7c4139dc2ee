package queries_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestMaskedScan: whatever a column is read into, personal data in it are masked; what cannot be masked is not handed
// out.
func TestMaskedScan(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	m, err := mask.New(mask.Rules{Email: true})
	if err != nil {
		t.Fatal(err)
	}
	db := queries.Masked(pool, m)
	type word string
	const canary = "ann@example.org"
	var text string
	var maybe *string
	var named word
	var list []string
	var names []word
	var body []byte
	var whatever any
	var fields struct {
		A string `json:"a"`
		B struct {
			C []string `json:"c"`
		} `json:"b"`
	}
	var n int64
	for column, dest := range map[string]any{
		"$1::text": &text, "$1::text ": &maybe, " $1::text": &named, "array[$1::text]": &list, "array[$1::text] ": &names, "jsonb_build_object('a', $1::text)": &body, "  $1::text": &whatever,
		"jsonb_build_object('a', $1::text, 'b', jsonb_build_object('c', jsonb_build_array($1::text)))": &fields,
		"length($1::text)::bigint": &n,
	} {
		rows, _ := db.Query(t.Context(), "select "+column, canary)
		if _, err := pgx.CollectExactlyOneRow(
			rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(dest) },
		); err != nil {
			t.Errorf("%s: %v", column, err)
		}
	}
	for what, got := range map[string]string{
		"text": text, "maybe": *maybe, "named": string(named), "list": list[0], "names": string(names[0]),
		"body": string(body), "whatever": whatever.(string), "field": fields.A, "field within": fields.B.C[0],
	} {
		if got == "" || strings.Contains(got, canary) {
			t.Errorf("%s is handed out as %q", what, got)
		}
	}
	if n != int64(len(canary)) {
		t.Errorf("a number became %d", n)
	}
	var unknown map[string]any
	rows, _ := db.Query(t.Context(), "select jsonb_build_object('a', $1::text)", canary)
	if _, err := pgx.CollectExactlyOneRow(
		rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(&unknown) },
	); err == nil {
		t.Error("a map is handed out as it is")
	}
}
