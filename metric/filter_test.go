package metric

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
)

// everyField are values of the fields of a filter, each with whether figures of days know of it.
var everyField = map[string]struct {
	value any
	plain bool
}{
	"Range.Days": {9, true}, "Range.Moving": {LastMonth, true},
	"Range.From": {time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), true}, "Range.Until": {
		time.Date(2026, 1, 2, 4, 30, 0, 0, time.UTC), true,
	},
	"Assistants": {[]string{"a", "b&c"}, true}, "Environments": {[]string{"p"}, true}, "Channels": {[]string{"ü"}, true}, "Versions": {[]string{"1 2"}, true},
	"Not.Assistants": {[]string{"a"}, true}, "Not.Environments": {[]string{"p"}, true}, "Not.Channels": {[]string{"w", "x"}, true}, "Not.Versions": {[]string{"v"}, true},
	"Outcomes": {
		[]string{"open", "escalated"}, false,
	}, "Ratings": {[]string{"SATISFIED"}, false}, "Escalated": {"no", false}, "Reasons": {[]string{"pause"}, false},
	"Flows.Flow": {"f g", false}, "Flows.How": {FlowMissed, false}, "Flows.Visited": {"a/b", false}, "Flows.Stopped": {"s t", false},
	"ID": {"x y", false}, "Is": {
		[]Condition{Resolved, Escalated}, false,
	}, "Judged.Criteria": {int64(7), false}, "Judged.Verdict": {Failure, false},
	"Turns.Intent": {"greet", false}, "Turns.Unsure": {true, false}, "Turns.Fallback": {true, false}, "Turns.Untimed": {true, false}, "Turns.Flow": {"f", false}, "Turns.Action": {"utter_x", false}, "Turns.Part": {"prediction", false}, "Turns.Over": {1.25, false},
	"Path.Steps": {[]string{"a b", "c"}, false}, "Path.Strict": {true, false}, "Path.Back": {true, false}, "Path.End": {true, false}, "Path.Minutes": {5, false},
	"Commands": {[]string{"clarify"}, false}, "CannotHandle": {[]string{"x"}, false}, "Markers": {[]string{"gave up"}, false}, "NoMarkers": {[]string{"a", "b"}, false}, "Weekdays": {[]int{1, 7}, false}, "Hours": {[]int{0, 23}, false}, "Text": {"refund", false},
	"Review.States": {[]string{Reviewed}, false}, "Review.Reviewers": {[]string{"r"}, false}, "Review.Ratings": {[]int{1, 5}, false}, "Review.Tags": {[]string{"good one"}, false}, "Review.NoTags": {[]string{"spam"}, false},
	"Review.Marks": {[]string{"bad"}, false}, "Review.Queue": {conversation.UUID{1}.String(), false},
	"Users": {NewUsers, false}, "Person": {PersonID(5).String(), false}, "IDs": {[]string{conversation.UUID{2}.String()}, false}, "FirstSeen.From": {
		time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), false,
	}, "FirstSeen.Until": {time.Date(2025, 1, 9, 0, 0, 0, 0, time.UTC), false},
	"ResponseOver": {1.5, false}, "ResponseUpTo": {Bound(7), false},
}

// together are fields that mean nothing without another, with that.
var together = map[string]string{
	"Range.From": "Range.Until", "Range.Until": "Range.From", "FirstSeen.From": "FirstSeen.Until", "FirstSeen.Until": "FirstSeen.From", "Judged.Criteria": "Judged.Verdict", "Judged.Verdict": "Judged.Criteria", "Turns.Over": "Turns.Part",
	"Flows.How": "Flows.Flow", "Flows.Visited": "Flows.Flow", "Flows.Stopped": "Flows.Flow", "Path.Strict": "Path.Steps", "Path.Back": "Path.Steps", "Path.End": "Path.Steps", "Path.Minutes": "Path.Steps",
}

// notAsked are fields that are no part of an address.
var notAsked = []string{"Shown", "FirstSeen.Days", "FirstSeen.Moving"}

// TestEveryField: each field of a filter comes back from an address, alone and beside the others, and no figures of
// days are taken for one that they do not know of.
func TestEveryField(t *testing.T) {
	t.Parallel()
	fields := map[string]bool{}
	var walk func(of reflect.Type, name string)
	walk = func(of reflect.Type, name string) {
		switch {
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			walk(of.Elem(), name)
		case of.Kind() == reflect.Struct && of != reflect.TypeFor[time.Time]():
			for f := range of.Fields() {
				walk(f.Type, strings.TrimPrefix(name+"."+f.Name, "."))
			}
		default:
			fields[name] = true
		}
	}
	walk(reflect.TypeFor[Filter](), "")
	for _, name := range notAsked {
		if !fields[name] {
			t.Errorf("%s is no field", name)
		}
		delete(fields, name)
	}
	for name := range everyField {
		if !fields[name] {
			t.Errorf("%s is no field", name)
		}
	}
	for name := range fields {
		x, ok := everyField[name]
		if !ok {
			t.Errorf("%s has no value here: is it in the address, and does FromRollups know of it?", name)
			continue
		}
		f := Filter{}
		set(t, &f, name, x.value)
		if with, ok := together[name]; ok {
			set(t, &f, with, everyField[with].value)
		}
		if name == "Path.Back" || name == "Path.End" {
			f.Path.Strict = true
		}
		if f.Range == (Range{}) {
			f.Range.Days = 9
		}
		q, err := url.ParseQuery(f.Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseFilter(q, time.UTC)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%s: %q is read as %+v, %v; want %+v", name, f.Encode(), got, err, f)
		}
		if f.FromRollups() != x.plain {
			t.Errorf("%s: plain is %t, want %t", name, f.FromRollups(), x.plain)
		}
	}
}

// TestFields: each row of the table has words, and a name that one address at least has; what is left out by another is
// asked for by it.
func TestFields(t *testing.T) {
	t.Parallel()
	written := map[string]Value{}
	for name, x := range everyField {
		f := Filter{}
		set(t, &f, name, x.value)
		if with, ok := together[name]; ok {
			set(t, &f, with, everyField[with].value)
		}
		f.Path.Strict = len(f.Path.Steps) > 0
		for _, v := range f.Asked() {
			written[v.Name] = v
			if v.Words(func(float64) string { return "a while" }) == "" || v.Label == "" {
				t.Errorf("%s has no words", v.Name)
			}
			if got := f.ForLists(); got != (v.Lists || f.asks(func(x *Field) bool { return x.Lists })) {
				t.Errorf("%s: is for lists: %t", v.Name, got)
			}
		}
	}
	for _, x := range Fields {
		v, ok := written[x.Name]
		if !ok {
			t.Errorf("no filter writes %s", x.Name)
			continue
		}
		if x.Opposite != "" {
			if i := slices.IndexFunc(
				Fields, func(o Field) bool { return o.Name == x.Opposite && o.Opposite == x.Name },
			); i < 0 {
				t.Errorf("%s is not the opposite of %s", x.Opposite, x.Name)
			}
		}
		q := url.Values{v.Key: {v.Text}}
		f, err := ParseFilter(q, time.UTC)
		if err != nil || x.Name != "over" && len(f.Asked()) == 0 {
			t.Errorf("%s: %v is read as %+v, %v", x.Name, q, f, err)
		}
		if kept := len(f.Carried().Asked()) > 0; kept != x.Carried {
			t.Errorf("%s: links keep it: %t", x.Name, kept)
		}
	}
}

// TestLabels: what people read on chips.
func TestLabels(t *testing.T) {
	t.Parallel()
	var got []string
	for _, x := range Fields {
		got = append(got, x.Name+": "+x.Label)
	}
	want := `assistant: Assistant
assistant.not: Assistant
environment: Environment
environment.not: Environment
channel: Channel
channel.not: Channel
version: Version
version.not: Version
outcome: Outcome
csat: CSAT
escalated: Escalated
review: Review
tag: Tag
tag.not: Tag
reviewer: Reviewer
flow: Flow
is: Only
criteria: By criteria
path: Path
intent: Intent
turn.flow: A turn
turn.action: A turn
part: A turn
over: A turn
turn: A turn
command: Command
cannot-handle: Cannot handle
marker: Marker
marker.not: Marker
reason: Escalated by
weekday: Began on
hour: Began
users: Users
person: User
only: Only
met: Users met
slower: A response
faster: A response
marked: Has
rated: Rated
queue: In queue
q: Search
id: Id`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("the labels are\n%s\nwant\n%s", text, want)
	}
}

// set gives a field of a filter a value; in a list, that of its only element.
func set(t *testing.T, f *Filter, name string, value any) {
	t.Helper()
	at := reflect.ValueOf(f).Elem()
	for part := range strings.SplitSeq(name, ".") {
		if at.Kind() == reflect.Slice {
			if at.Len() == 0 {
				at.Set(reflect.MakeSlice(at.Type(), 1, 1))
			}
			at = at.Index(0)
		}
		at = at.FieldByName(part)
	}
	at.Set(reflect.ValueOf(value))
}

// TestFew: what a rate is among becomes enough at 30.
func TestFew(t *testing.T) {
	t.Parallel()
	for among, want := range map[int64]bool{0: true, 29: true, 30: false, 31: false} {
		if got := (Rate{Of: 0, Among: among}).Few(); got != want {
			t.Errorf("of %d: few is %t", among, got)
		}
	}
}

// TestNobodyWrote: a conversation in which nobody wrote counts as nothing else, though it was handed over and rated.
func TestNobodyWrote(t *testing.T) {
	t.Parallel()
	c := ConversationFacts{
		Outcome: conversation.NotEngaged, Escalated: true, Reason: "pause", Rating: conversation.Satisfied,
		Verdict: Success,
	}
	var tally Tally
	tally.Add(&c)
	for is := range conditions {
		want := int64(0)
		switch is {
		case All, NobodyWrote, EndedNotEngaged:
			want = 1
		case Satisfied, Rated, Asked, Succeeded, Judged: // told, whoever wrote
			continue
		default:
		}
		if got := tally.Count(is); got != want {
			t.Errorf("%s: %d, want %d", is, got, want)
		}
	}
	if len(tally.Reasons) > 0 {
		t.Errorf("reasons of escalations: %v", tally.Reasons)
	}
}
