package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func texts(words []Word) (all []string) {
	for _, w := range words {
		all = append(all, w.Text)
	}
	return all
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                             nil,
		"Wo ist mein Päckchen?":        {"wo", "ist", "mein", "packchen"},
		"STRASSE straße Straße":        {"strasse", "strasse", "strasse"},
		"don't l’eau 'quoted'":         {"dont", "leau", "quoted"},
		"harbour-4.3 a@b.de":           {"harbour", "4", "3", "a", "b", "de"},
		"ЁЛКА ёлка Елка":               {"елка", "елка", "елка"},
		"Ελλάδα ΕΛΛΆΔΑ λόγος":          {"ελλαδα", "ελλαδα", "λογοσ"},
		"مُحَمَّد":                     {"محمد"},
		"שָׁלוֹם":                      {"שלום"},
		"हिन्दी भाषा":                  {"हिन्दी", "भाषा"},
		"한국어 검색":                       {"한국어", "검색"},
		"転送して":                         {"転送", "送し", "して", "て"},
		"ＡＢＣ ﬁsh":                      {"abc", "fish"},
		"好":                            {"好"},
		"銀行bank銀行":                     {"銀行", "行", "bank", "銀行", "行"},
		"ไทย":                          {"ไท", "ทย", "ย"},
		"x" + strings.Repeat("y", 300): {"x" + strings.Repeat("y", longestWord-1)},
		"\u200d\u00ad… — 👍":            nil,
	} {
		if got := texts(Words(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if w := Words("Zoë’s é")[1]; "Zoë’s é"[w.Start:w.End] != "é" || w.Pos != 1 {
		t.Errorf("%+v", w)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		" … ":                         "",
		"Block my CARD":               "('block') & ('my') & ('card')",
		`"block my card" -Visa`:       "('block' <-> 'my' <-> 'card') & !('visa')",
		"transf*":                     "('transf':*)",
		`"my tran"*`:                  "('my' <-> 'tran':*)",
		"card OR karte OR carte lost": "('card' | 'karte' | 'carte') & ('lost')",
		"OR card":                     "('or') & ('card')",
		`unclosed "block my`:          "('unclosed') & ('block' <-> 'my')",
		"harbour-4.3":                 "('harbour' <-> '4' <-> '3')",
		"転":                           "('転':*)",
		"転送":                          "('転送')",
		"転送して":                        "('転送' <-> '送し' <-> 'して')",
		`it''s a \ test`:              "('its') & ('a') & ('test')",
		`-"a b" c`:                    "!('a' <-> 'b') & ('c')",
		"銀行bank":                      "('銀行' <-> '行' <-> 'bank')",
		"c-d":                         "('c' <-> 'd')",
	} {
		q, err := Parse(text)
		if err != nil || q.TSQuery() != want {
			t.Errorf("%q: %s, %v; want %s", text, q.TSQuery(), err, want)
		}
	}
	for _, text := range []string{"-card", strings.Repeat("x", longestQuery+1), strings.Repeat("a ", mostTerms+1)} {
		if q, err := Parse(text); err == nil {
			t.Errorf("%.20q is read as %+v", text, q)
		}
	}
	q, _ := Parse(`transfr -wrong "exact phrase" begin* mony xyz12 money money`)
	if got := q.Long(); !slices.Equal(got, []string{"transfr", "money"}) {
		t.Errorf("long: %q", got)
	}
	if got := q.Or(
		map[string][]string{"transfr": {"transfer"}},
	).TSQuery(); !strings.HasPrefix(got, "('transfr' | 'transfer') & !('wrong')") {
		t.Error(got)
	}
}

func TestNear(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		a, b string
		near bool
	}{
		{"transfr", "transfer", true},
		{"tranfser", "transfer", true},
		{"transfer", "transfers", true},
		{"trnsfr", "transfer", false},
		{"kontostand", "kontosand", true},
		{"kontostand", "kontsand", true},
		{"kontostand", "kontand", false},
		{"money", "honey", true},
		{"money", "honay", false},
		{"über", "uber", true},
	} {
		if Near(x.a, x.b) != x.near || Near(x.b, x.a) != x.near {
			t.Errorf("%s and %s: not %t", x.a, x.b, x.near)
		}
	}
}

func TestHits(t *testing.T) {
	t.Parallel()
	mark := func(text string, spans []Span) string {
		for _, s := range slices.Backward(spans) {
			text = text[:s.Start] + "[" + text[s.Start:s.End] + "]" + text[s.End:]
		}
		return text
	}
	for _, x := range []struct{ query, text, want string }{
		{"packchen", "Wo ist mein PÄCKCHEN?", "Wo ist mein [PÄCKCHEN]?"},
		{`"my card" -visa`, "My card, my visa, my-card.", "[My card], my visa, [my-card]."},
		{"trans*", "Transfer or transit? trainers", "[Transfer] or [transit]? trainers"},
		{"転送", "お金を転送してください", "お金を[転送]してください"},
		{"転", "お金を転送して", "お金を[転]送して"},
		{"送して", "お金を転送してください", "お金を転[送して]ください"},
		{"nothing", "at all", "at all"},
		{"a OR ab*", "abc a", "[abc] [a]"},
	} {
		q, err := Parse(x.query)
		if got := mark(x.text, q.Hits(x.text)); err != nil || got != x.want {
			t.Errorf("%s: %s, want %s, %v", x.query, got, x.want, err)
		}
	}
	q, _ := Parse("needle")
	text := strings.Repeat("hay and straw ", 20) + "a needle, " + strings.Repeat("more hay ", 20)
	excerpt, spans, ok := q.Excerpt(text, 60)
	if got := mark(excerpt, spans); !ok || !strings.Contains(got, "a [needle], more") || !strings.HasPrefix(got, "…") ||
		!strings.HasSuffix(got, "…") || len([]rune(excerpt)) > 62 {
		t.Errorf("%q %t", got, ok)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	var d Document
	d.Add("It's a test")
	d.Add("a \\ B")
	parts := strings.Split(d.TSVector(), " ")
	slices.Sort(parts)
	if got := strings.Join(parts, " "); got != "'a':2,5 'b':6 'its':1 'test':3" {
		t.Error(got)
	}
	for i := range 100_000 {
		d.Add(fmt.Sprint("word", i))
	}
	if n := len(d.TSVector()); n > 1_000_000 || !d.Full() {
		t.Errorf("%d bytes, full %t", n, d.Full())
	}
}
