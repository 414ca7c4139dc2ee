package report_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/queries"
	"turnwise/report"
)

var columns = []report.Column{
	{Name: "text", Kind: queries.TextColumn},
	{Name: "n", Kind: queries.CountColumn},
	{Name: "share", Kind: queries.NumberColumn},
	{Name: "ms", Kind: queries.MillisColumn},
	{Name: "length_s", Kind: queries.SecondsColumn},
	{Name: "at", Kind: queries.InstantColumn},
	{Name: "yes", Kind: queries.FlagColumn},
	{Name: "all", Kind: queries.ListColumn},
}

var hostile = []string{
	`=HYPERLINK("http://evil.example","click")`, "+1+1", "-2", "@SUM(A1)", "\t=1", "\r\n=1", "＝1", "  =1", "=cmd|' /C calc'!A0", "plain", "", `quote " and, comma; and semicolon`,
	"two\nlines", "Zürich 東京 مرحبا 🎉", "\x00nul", "\x1b[31mcolour", strings.Repeat("long ", 9000), "'=already", "<b>&amp;</b>", "_x0041_",
}

func rowsOf(texts []string) func(func([]any) error) error {
	at := time.Date(2026, 10, 25, 1, 30, 0, 123456000, time.UTC)
	return func(each func([]any) error) error {
		for i, s := range texts {
			if err := each([]any{s, int64(i), 0.25, 1234.5, 90061.0, at, i%2 == 0, []string{s, "b"}}); err != nil {
				return err
			}
		}
		return each([]any{nil, nil, nil, nil, nil, nil, nil, []string{}})
	}
}

func write(t *testing.T, f report.Format) []byte {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := report.Write(
		&b, f, report.Head{Title: "=Title", Lines: []report.Line{{Name: "Filter", Text: "=1"}}, Zone: berlin}, columns,
		rowsOf(hostile),
	)
	if err != nil || n != int64(len(hostile)+1) {
		t.Fatalf("%s: %d rows, %v", f, n, err)
	}
	return b.Bytes()
}

// TestCSV reads a file again: values are what they were but for an apostrophe before what looks like a formula.
func TestCSV(t *testing.T) {
	t.Parallel()
	r := csv.NewReader(bytes.NewReader(write(t, report.CSV)))
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines = lines[3:]
	for i, want := range hostile {
		got := lines[i][0]
		// CSV readers make one of the two
		want = strings.ReplaceAll(strings.ReplaceAll(want, "\r\n", "\n"), "\x00", "\ufffd")
		if trimmed := strings.TrimLeft(got, " "); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@\t\r\n") ||
			strings.HasPrefix(trimmed, "＝") {
			t.Errorf("%q would be taken for a formula", got)
		}
		if got != want && got != "'"+want {
			t.Errorf("got %.60q, want %.60q", got, want)
		}
	}
	if got, want := lines[9][1:], []string{
		"9", "0.25", "1234.5", "90061", "2026-10-25T02:30:00.123+01:00", "false", "plain; b",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Join(lines[len(hostile)], ""); got != "" {
		t.Errorf("a row of nothing is %q", got)
	}
}

// TestXLSX: no cell is a formula.
func TestXLSX(t *testing.T) {
	t.Parallel()
	b := write(t, report.XLSX)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	sheets := 0
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, "xl/worksheets/") {
			continue
		}
		sheets++
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), "<f>") || strings.Contains(text.String(), "<f ") ||
			strings.ContainsAny(text.String(), "\x00\x1b") {
			t.Errorf("%s has a formula or characters that XML has not", f.Name)
		}
	}
	if sheets != 2 {
		t.Errorf("%d sheets", sheets)
	}
}

// TestLibreOffice opens the workbook with another program, which must see the values, typed.
func TestLibreOffice(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("soffice")
	if err != nil {
		skip(t, "SKIPPED for want of LibreOffice: apt-get install libreoffice-calc-nogui")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "book.xlsx"), write(t, report.XLSX), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(
		t.Context(), program, "-env:UserInstallation=file://"+filepath.Join(dir, "profile"), "--headless",
		"--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,2", "--outdir", dir,
		filepath.Join(dir, "book.xlsx"),
	)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < len(hostile)+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range hostile {
		// carriage returns and the like are XML's to change
		if strings.ContainsAny(want, "\r\x00\x1b\t") || len(want) > 32_000 {
			continue
		}
		if got := lines[i+1][0]; got != want {
			t.Errorf("got %.60q, want %.60q", got, want)
		}
	}
	if got := lines[10][1:8]; got[0] != "9" || got[1] != "0.25" || got[2] != "1,235" || got[3] != "25:01:01" ||
		got[4] != "2026-10-25 02:30:00" || got[5] != "FALSE" || got[6] != "plain; b" {
		t.Errorf("typed values are shown as %q", got)
	}
}

// TestPyArrow reads the Parquet file with another reader.
func TestPyArrow(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	python := pyarrow(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "rows.parquet")
	if err := os.WriteFile(path, write(t, report.Parquet), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, "-c", `
import json, sys, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
rows = t.to_pylist()
for r in rows:
    r["at"] = r["at"].isoformat() if r["at"] else None
print(json.dumps({"rows": rows, "title": t.schema.metadata[b"title"].decode(), "types": {f.name: str(f.type) for f in t.schema}}))
`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Title string
		Types map[string]string
		Rows  []struct {
			Text  *string
			N     *int64
			Share *float64
			At    *string
			Yes   *bool
			All   []string
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%.300s", err, out)
	}
	if got.Title != "=Title" || len(got.Rows) != len(hostile)+1 {
		t.Fatalf("%q with %d rows", got.Title, len(got.Rows))
	}
	for i, want := range hostile {
		r := got.Rows[i]
		if *r.Text != want || *r.N != int64(i) || *r.Share != 0.25 || *r.Yes != (i%2 == 0) ||
			!slices.Equal(r.All, []string{want, "b"}) || !strings.HasPrefix(*r.At, "2026-10-25T01:30:00.123456") {
			t.Errorf("row %d: %.80q, %+v", i, *r.Text, r)
		}
	}
	if last := got.Rows[len(hostile)]; last.Text != nil || last.N != nil || last.At != nil || len(last.All) != 0 {
		t.Errorf("a row of nothing is %+v", last)
	}
	if got.Types["at"] != "timestamp[us, tz=UTC]" || got.Types["n"] != "int64" || got.Types["share"] != "double" {
		t.Errorf("types: %v", got.Types)
	}
}

// skip says loudly why a stage is left out.
func skip(t *testing.T, text string) {
	t.Helper()
	fmt.Fprintln(os.Stderr, "\n*** "+t.Name()+": "+text+"\n")
	t.Skip(text)
}

// pyarrow returns a Python that has pyarrow, from PyPI, kept for the next run.
func pyarrow(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		skip(t, "SKIPPED for want of pyarrow: "+err.Error())
	}
	dir := filepath.Join(cache, "turnwise-test", "pyarrow")
	python := filepath.Join(dir, "bin", "python3")
	if exec.CommandContext(t.Context(), python, "-c", "import pyarrow.parquet").Run() == nil {
		return python
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir}, {python, "-m", "pip", "-q", "install", "pyarrow==21.0.0"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			skip(t, fmt.Sprintf("SKIPPED for want of pyarrow from PyPI: %v\n%s", err, out))
		}
	}
	return python
}

// TestOddValues holds that no value that is stored breaks a file off: a number that is none is an empty cell in every
// format.
func TestOddValues(t *testing.T) {
	t.Parallel()
	columns := []report.Column{{Name: "a", Kind: queries.NumberColumn}, {Name: "b", Kind: queries.TextColumn}}
	for _, format := range []report.Format{report.CSV, report.XLSX, report.JSONL, report.Parquet} {
		var b bytes.Buffer
		n, err := report.Write(&b, format, report.Head{}, columns, func(each func(row []any) error) error {
			for _, v := range []any{1.5, math.Inf(1), math.Inf(-1), math.NaN(), nil, math.MaxFloat64, 5e-324} {
				if err := each([]any{v, "x\x01\ufffd"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n != 7 || b.Len() == 0 {
			t.Errorf("%s: %d rows, %d bytes, %v", format, n, b.Len(), err)
		}
		if text := b.String(); format != report.XLSX && (strings.Contains(text, "Inf") ||
			strings.Contains(text, "NaN")) {
			t.Errorf("%s: %.300s", format, text)
		}
	}
}
