package metric

import "math"

// Satisfaction counts what users answered when they were asked for a rating, as General Bots' analytics API does.
type Satisfaction struct {
	Responses int64    // of scores from 1 to 5
	Scores    [5]int64 // of them, by the nearest whole score
	Sum       float64
	Satisfied int64 // scores from 4 on
	Up, Down  int64 // thumbs
	Promoters int64 // 9 and 10 of 10, of NPS
	Asked     int64 // answers to NPS
	Critics   int64 // 0 to 6 of 10
}

// satisfiedScore is the least score of a satisfied user.
const satisfiedScore = 4

// Add counts an answer: csat from 1 to 5, nps from 0 to 10, thumbs 1 or 0. Other kinds count nowhere.
func (s *Satisfaction) Add(kind string, score float64) {
	switch kind {
	case "csat":
		score = math.Min(5, math.Max(1, score))
		s.Responses++
		s.Sum += score
		s.Scores[int(math.Round(score))-1]++
		if score >= satisfiedScore {
			s.Satisfied++
		}
	case "thumbs":
		if score > 0 {
			s.Up++
		} else {
			s.Down++
		}
	case "nps":
		s.Asked++
		if score >= 9 {
			s.Promoters++
		} else if score <= 6 {
			s.Critics++
		}
	}
}

// CSAT is the share of satisfied answers.
func (s *Satisfaction) CSAT() Rate { return Rate{s.Satisfied, s.Responses} }

// Average is the mean score, from 1 to 5; false without answers.
func (s *Satisfaction) Average() (float64, bool) {
	return s.Sum / float64(max(s.Responses, 1)), s.Responses > 0
}

// NPS is the share of promoters less that of critics, from -100 to 100; false where nobody answered.
func (s *Satisfaction) NPS() (float64, bool) {
	return 100 * float64(s.Promoters-s.Critics) / float64(max(s.Asked, 1)), s.Asked > 0
}
