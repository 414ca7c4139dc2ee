package queries_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestWhere: the database is asked for each field of a filter: one that is forgotten would narrow nothing.
func TestWhere(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	id, day := conversation.UUID{1}.String(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	// what fields stand beside that mean nothing alone
	base := func() metric.Filter {
		return metric.Filter{
			Range: metric.Range{Days: 9}, Flows: []metric.FlowFilter{{Flow: "f"}},
			Turns: metric.TurnFilter{Part: "prediction", Intent: "i"},
			Path:  metric.PathFilter{Steps: []string{"a", "b"}, Strict: true}, Judged: []metric.JudgedBy{{Criteria: 7}},
			FirstSeen: metric.Range{From: day, Until: day.AddDate(0, 0, 7)},
		}
	}
	asked := func(f metric.Filter) string {
		known, err := queries.LookUp(t.Context(), pool, f, noon, time.UTC)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		w := queries.FilterConversations(f, known, noon, time.UTC)
		return w.String() + fmt.Sprintf("%v", w.Args)
	}
	values := map[string]any{ // where it matters which
		"Outcomes": []string{"open"}, "Ratings": []string{"SATISFIED"}, "Escalated": "yes",
		"Review.States": []string{metric.Reviewed}, "Review.Reviewers": []string{id}, "Review.Queue": id,
		"Review.Marks": []string{"bad"}, "Users": metric.NewUsers, "IDs": []string{id},
		"Is": []metric.Condition{metric.Resolved}, "Flows.How": metric.FlowFinished, "Judged.Verdict": metric.Failure,
		"Range.Moving": metric.Movings()[0], "Text": "refund", "ResponseUpTo": 7.0,
		"Not.Versions": []string{metric.Unknown}, "FirstSeen.From": day.AddDate(0, 0, 1),
		"FirstSeen.Until": day.AddDate(0, 0, 8),
	}
	beside := []string{ // asked for beside others, or no question of their own
		"Shown", "FirstSeen.Days", "FirstSeen.Moving", "Range.From", "Range.Until", "Judged.Criteria",
	}
	n := 0
	var paths []string
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		switch {
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
			walk(v.Index(0), name)
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
			for i := range v.NumField() {
				field := v.Type().Field(i).Name
				if name != "" {
					field = name + "." + field
				}
				walk(v.Field(i), field)
			}
		default:
			paths = append(paths, name)
		}
	}
	plain := base()
	walk(reflect.ValueOf(&plain).Elem(), "")
	for _, path := range paths {
		if slices.Contains(beside, path) {
			continue
		}
		f := base()
		v := reflect.ValueOf(&f).Elem()
		for part := range strings.SplitSeq(path, ".") {
			if v.Kind() == reflect.Slice {
				v = v.Index(0)
			}
			v = v.FieldByName(part)
		}
		change(t, v, path, values[path])
		if asked(f) == asked(base()) {
			t.Errorf("%s narrows nothing", path)
		}
		n++
	}
	if n < 40 {
		t.Errorf("%d fields", n)
	}
}

// change sets a field to a value, or to any other than it has.
func change(t *testing.T, v reflect.Value, name string, to any) {
	t.Helper()
	if to != nil {
		v.Set(reflect.ValueOf(to).Convert(v.Type()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
		if name == "Turns.Part" {
			v.SetString("understanding")
		}
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int64:
		v.SetInt(v.Int() + 3)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Int {
			v.Set(reflect.ValueOf([]int{3}))
		} else {
			v.Set(reflect.ValueOf([]string{"x"}))
		}
	default:
		t.Fatalf("%s is of kind %s: say here what it may be", name, v.Kind())
	}
}
