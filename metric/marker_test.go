package metric

import (
	"fmt"
	"reflect"
	"testing"
)

func TestMarkers(t *testing.T) {
	t.Parallel()
	said := func(c *MarkerCount) string {
		mean, median, fewest, most, ok := c.Preceding()
		return fmt.Sprint(c.Conversations, c.Places(), mean, median, fewest, most, ok)
	}
	for _, tt := range []struct {
		conversations [][]int
		want          string
	}{
		{nil, "0 0 0 0 0 0 false"},
		{[][]int{{0}}, "1 1 0 0 0 0 true"},
		{[][]int{{3, 1}, {2}}, "2 3 2 2 1 3 true"},
		{[][]int{{1, 1, 2, 8}}, "1 4 3 1.5 1 8 true"},
		{[][]int{{300}, {0, 0, 0}}, "2 4 75 0 0 300 true"},
	} {
		all := MarkerTally{}
		all.of(7)
		for _, turns := range tt.conversations {
			all.Add(7, turns)
		}
		all.Add(9, []int{4})
		all.Take(9, []int{4})
		if got := said(all[7]); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.conversations, got, tt.want)
		}
		if got := said(all[9]); got != "0 0 0 0 0 0 false" {
			t.Errorf("what was taken back: %s", got)
		}
		read := MarkerTally{}
		if err := read.MergePacked(all.Pack()); err != nil || !reflect.DeepEqual(read[7], all[7]) {
			t.Errorf("%v: packed %v, %v", tt.conversations, read[7], err)
		}
		read.Merge(all)
		if c := read[7]; c.Places() != 2*all[7].Places() || c.Conversations != 2*all[7].Conversations {
			t.Errorf("%v: twice is %+v", tt.conversations, c)
		}
	}
	if b := (MarkerTally{}).Pack(); b != nil {
		t.Errorf("an empty one is packed as %v", b)
	}
	for _, b := range [][]byte{nil, {9}, {form, markerOf, 9, 1}} {
		if err := (MarkerTally{}).MergePacked(b); err == nil {
			t.Errorf("%v is read", b)
		}
	}
}
