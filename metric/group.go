package metric

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Group is texts that say much the same.
type Group struct {
	Words []string // that most of the texts share
	Texts []int    // indexes, as they came
}

// alike is the share of common words from which two texts belong together.
const alike = 0.4

// leader is a group while texts are gathered in it.
type leader struct {
	counts map[string]int // of its texts, by word
	texts  []int
}

// GroupTexts puts texts together that share their words, the largest group first. It is greedy: a text joins the group
// that it is most alike to, or begins one. Words of at most two letters and numbers do not count, scripts without
// spaces count by pairs of letters.
func GroupTexts(texts []string) []Group {
	var leaders []*leader
	byWord := map[string][]int{} // leaders that have the word
	for i, text := range texts {
		words := wordsOf(text)
		if len(words) == 0 {
			continue
		}
		common := map[int]int{}
		for _, w := range words {
			for _, l := range byWord[w] {
				common[l]++
			}
		}
		best, share := -1, alike
		for l, n := range common {
			g := leaders[l]
			s := float64(n) / float64(len(words)+len(g.counts)-n)
			if s > share || s == share && best >= 0 && l < best {
				best, share = l, s
			}
		}
		if best < 0 {
			best = len(leaders)
			leaders = append(leaders, &leader{counts: map[string]int{}})
		}
		g := leaders[best]
		g.texts = append(g.texts, i)
		if len(g.texts) == 1 { // its first text says what the group is about
			for _, w := range words {
				g.counts[w]++
				byWord[w] = append(byWord[w], best)
			}
		} else {
			for _, w := range words {
				if g.counts[w] > 0 {
					g.counts[w]++
				}
			}
		}
	}
	return groupsOf(leaders)
}

// groupsOf names the groups by the words that most of their texts have, the largest first.
func groupsOf(leaders []*leader) []Group {
	groups := make([]Group, 0, len(leaders))
	for _, g := range leaders {
		var words []string
		for w, n := range g.counts {
			if 2*n >= len(g.texts) {
				words = append(words, w)
			}
		}
		slices.SortFunc(
			words, func(a, b string) int { return cmp.Or(cmp.Compare(g.counts[b], g.counts[a]), cmp.Compare(a, b)) },
		)
		groups = append(groups, Group{words[:min(len(words), 6)], g.texts})
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(len(b.Texts), len(a.Texts)) })
	return groups
}

// wordsOf returns the different words of a text, without case.
func wordsOf(text string) (words []string) {
	for _, w := range strings.FieldsFunc(
		strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) },
	) {
		letters := []rune(w)
		if unicode.In(letters[0], unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
			for i := range len(letters) - 1 {
				words = append(words, string(letters[i:i+2]))
			}
		} else if len(letters) > 2 {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}
