package metric

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Criteria say when a conversation with an assistant is a success. It is judged when one of the included flows was
// started; the rest is not applicable.
type Criteria struct {
	Included   []string // flows
	Any        bool     // one of them suffices; else each
	Started    bool     // starting them suffices; else they must be completed
	Excluded   []string // flows that must not have been started
	Satisfied  bool     // the user must have said to be satisfied
	Slot       string   // whose last value must be SlotValue; "" for none
	SlotValue  string   // as JSON has it, without the quotes of a text
	Tag        string   // that it must have; "" for none
	NoTag      string   // that it must not have; "" for none
	ReturnDays int      // for so many days the person must not have come back; 0 for none
}

// Bounds of criteria.
const (
	maxCriteriaFlows = 200
	maxReturnDays    = 90
)

// Check says what is wrong with the criteria.
func (c *Criteria) Check() error {
	switch {
	case len(c.Included) == 0 && (len(c.Excluded) > 0 || c.Satisfied || c.Slot+c.Tag+c.NoTag != "" || c.ReturnDays > 0):
		return &InputError{"included", "names at least one flow: without, no conversation is judged"}
	case len(c.Included)+len(c.Excluded) > maxCriteriaFlows:
		return &InputError{"included", fmt.Sprintf("and excluded name at most %d flows", maxCriteriaFlows)}
	case slices.ContainsFunc(c.Included, func(f string) bool { return slices.Contains(c.Excluded, f) }):
		return &InputError{"excluded", "names a flow that is included too"}
	case c.ReturnDays < 0 || c.ReturnDays > maxReturnDays:
		return &InputError{"return_days", fmt.Sprintf("is from 0 to %d", maxReturnDays)}
	case (c.Slot == "") != (c.SlotValue == ""):
		return &InputError{"slot", "and its value go together"}
	case len(c.Tag) > 240 || len(c.NoTag) > 240:
		return &InputError{"tag", "is too long"}
	case c.Tag != "" && strings.EqualFold(c.Tag, c.NoTag):
		return &InputError{"tag", "cannot be asked for and ruled out"}
	case len(c.Slot) > 200 || len(c.SlotValue) > 200:
		return &InputError{"slot", "is too long"}
	}
	return nil
}

// Words say what the criteria ask for, one sentence each.
func (c *Criteria) Words() (all []string) {
	if len(c.Included) == 0 {
		return []string{"no conversation is judged"}
	}
	done, how := "completed", "each of"
	if c.Started {
		done = "started"
	}
	if c.Any {
		how = "one of"
	}
	if len(c.Included) == 1 {
		all = append(all, c.Included[0]+" was "+done)
	} else {
		all = append(all, how+" "+strings.Join(c.Included, ", ")+" was "+done)
	}
	if len(c.Excluded) > 0 {
		all = append(all, "none of "+strings.Join(c.Excluded, ", ")+" was started")
	}
	if c.Satisfied {
		all = append(all, "the user said to be satisfied")
	}
	if c.Slot != "" {
		all = append(all, c.Slot+" is "+c.SlotValue+" at the end")
	}
	if c.Tag != "" {
		all = append(all, "it is tagged "+c.Tag)
	}
	if c.NoTag != "" {
		all = append(all, "it is not tagged "+c.NoTag)
	}
	if c.ReturnDays > 0 {
		all = append(all, "the person did not come back within "+strconv.Itoa(c.ReturnDays)+" days")
	}
	return all
}

// Verdict is how criteria judge a conversation.
type Verdict int

// The verdicts.
const (
	NotJudged Verdict = iota
	Success
	Failure
	EitherVerdict // for filters: success or failure
)

var verdictNames = [...]string{"not-judged", "success", "failure", "judged"}

// String returns the verdict's name in a URL.
func (v Verdict) String() string { return verdictNames[v] }

// JudgedBy asks for conversations that a version of criteria judges so.
type JudgedBy struct {
	Criteria int64 // the version
	Verdict  Verdict
}

func (j JudgedBy) String() string {
	return strconv.FormatInt(j.Criteria, 10) + "." + j.Verdict.String()
}

func parseJudgedBy(s string) (j JudgedBy, ok bool) {
	id, verdict, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(id, 10, 64)
	i := slices.Index(verdictNames[:], verdict)
	return JudgedBy{n, Verdict(i)}, err == nil && n > 0 && i >= 0
}

// SuccessRate is success ÷ judged, by the criteria in force.
var SuccessRate = Measure{"Success", Succeeded, Judged, "success by the assistant's criteria ÷ judged", false}
