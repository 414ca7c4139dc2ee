package config

import (
	"regexp"
	"strconv"

	"turnwise/metric"
)

// UnmarshalYAML reads a rule. SentiOne's words are understood too: duration, as HOCON writes lengths of time, for how
// long conversations are kept, and limit-per-run.
func (r *Retention) UnmarshalYAML(unmarshal func(any) error) error {
	type Plain Retention
	in := struct {
		Plain    `yaml:",inline"`
		Duration *string `yaml:"duration"`
		Limit    *int32  `yaml:"limit-per-run"`
	}{}
	if err := unmarshal(&in); err != nil {
		return err
	}
	*r = Retention(in.Plain)
	if in.Limit != nil {
		if r.Most != 0 {
			return &metric.InputError{Field: "limit-per-run", Msg: "says the same as most: leave one of them out"}
		}
		r.Most = *in.Limit
	}
	if in.Duration == nil {
		return nil
	}
	if r.Conversations != nil {
		return &metric.InputError{Field: "duration", Msg: "says the same as conversations: leave one of them out"}
	}
	days, ok := daysOf(*in.Duration)
	if !ok {
		return &metric.InputError{Field: "duration", Msg: "is a length of time such as 365d or 8760h"}
	}
	if days > 0 { // 0: for ever
		r.Conversations = &days
	}
	return nil
}

var hocon = regexp.MustCompile(`^\s*([0-9]{1,7})\s*(d|day|days|h|hour|hours|)\s*$`)

// daysOf reads a length of time in days, a begun one as a whole: data are kept to the start of a day. A number alone
// counts milliseconds in HOCON, which nobody means but with 0.
func daysOf(text string) (days int32, ok bool) {
	m := hocon.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 32)
	if err != nil || m[2] == "" && n != 0 {
		return 0, false
	}
	if m[2] != "" && m[2][0] == 'h' {
		n = (n + 23) / 24
	}
	return int32(n), true
}
