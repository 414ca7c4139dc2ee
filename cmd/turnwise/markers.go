package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/marker"
	"turnwise/metric"
	"turnwise/queries"
)

type markersCmd struct {
	Upload     markersUploadCmd     `cmd:"" help:"Make the markers of Rasa's YAML files those of an assistant: others are switched off, and stored conversations are looked through."`
	List       markersListCmd       `cmd:"" help:"List the markers."`
	Statistics markersStatisticsCmd `cmd:"" help:"Write the statistics that rasa evaluate markers writes, as CSV."`
}

type markersUploadCmd struct {
	Files     []string `arg:"" help:"YAML files, or folders that hold them." type:"path"`
	Assistant string   `default:"default" help:"Name of the assistant (${default})." placeholder:"NAME"`
}

func (u *markersUploadCmd) Run(c *cli) error {
	var all []marker.Definition
	for _, path := range u.Files {
		files, err := yamlFiles(path)
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			more, err := marker.Parse(text)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, more...)
		}
	}
	return c.with(func(pool *pgxpool.Pool) error {
		var done queries.PatternsChanged
		err := c.audited(pool, func(tx pgx.Tx) (d deed, err error) {
			done, err = queries.SetPatterns(c.ctx, tx, u.Assistant, all, conversation.UUID{}, time.Now())
			return deed{act: queries.AuditMarkersChanged, name: u.Assistant, after: done}, err
		})
		if errors.Is(err, queries.ErrConflict) {
			return errors.New("stored conversations are being recalculated; upload again when that is done")
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s: %s.\n", u.Assistant, done.Words())
		if done.Run != nil {
			fmt.Fprintln(c.stdout, "A running server looks through stored conversations, starting in about two minutes; Admin › Assistant shows how far it is.")
		}
		return nil
	})
}

// yamlFiles are a file, or those of a folder that hold YAML.
func yamlFiles(path string) (files []string, err error) {
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		ext := strings.ToLower(filepath.Ext(at))
		if err == nil && !d.IsDir() && (at == path || ext == ".yml" || ext == ".yaml") {
			files = append(files, at)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no YAML files", path)
	}
	return files, err
}

type markersListCmd struct{}

func (markersListCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		all, err := queries.Patterns(c.ctx, pool, "")
		for _, p := range all {
			state := "on"
			if !p.Active {
				state = "off"
			}
			fmt.Fprintf(c.stdout, "%s  %s  %s  %s\n", p.Assistant, p.Name, state, p.Config)
		}
		return err
	})
}

type markersStatisticsCmd struct {
	Assistant  string `default:"default" help:"Name of the assistant (${default})." placeholder:"NAME"`
	PerSession bool   `help:"By conversation, in place of over all."`
}

func (s *markersStatisticsCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		patterns, err := queries.Patterns(c.ctx, pool, s.Assistant)
		if err != nil {
			return err
		}
		patterns = slices.DeleteFunc(patterns, func(p queries.Pattern) bool { return !p.Active })
		if len(patterns) == 0 {
			return fmt.Errorf("the assistant %s has no markers; see turnwise markers upload", s.Assistant)
		}
		slices.SortFunc(patterns, func(a, b queries.Pattern) int { return strings.Compare(a.Name, b.Name) })
		w := csv.NewWriter(c.stdout)
		w.UseCRLF = true
		write := func(sender, session, marker, statistic, value string) {
			_ = w.Write([]string{sender, session, marker, statistic, value}) // Flush tells
		}
		write("sender_id", "session_idx", "marker", "statistic", "value")
		if s.PerSession {
			err = s.perSession(c, pool, patterns, write)
		} else {
			err = s.overall(c, pool, patterns, write)
		}
		w.Flush()
		return errors.Join(err, w.Error())
	})
}

// overall writes the statistics over all conversations.
func (s *markersStatisticsCmd) overall(
	c *cli, pool *pgxpool.Pool, patterns []queries.Pattern, write func(sender, session, marker, statistic, value string),
) error {
	sessions, tally := 0, metric.MarkerTally{}
	if err := queries.MarkedSessions(c.ctx, pool, s.Assistant, time.Now(), func(x queries.MarkedSession) error {
		sessions++
		for pattern, turns := range x.Turns {
			tally.Add(pattern, turns)
		}
		return nil
	}); err != nil {
		return err
	}
	all := func(marker, statistic, value string) { write("all", "nan", marker, statistic, value) }
	all("-", "total_number_of_sessions", strconv.Itoa(sessions))
	for _, p := range patterns {
		n := int64(0)
		if x := tally[p.ID]; x != nil {
			n = x.Conversations
		}
		all(p.Name, "number_of_sessions_where_marker_applied_at_least_once", strconv.FormatInt(n, 10))
		share := 100.0
		if sessions > 0 {
			share = float64(n) / float64(sessions) * 100
		}
		all(p.Name, "percentage_of_sessions_where_marker_applied_at_least_once", rounded(share))
	}
	for _, p := range patterns {
		for _, x := range statisticsOf(tally[p.ID]) {
			all(p.Name, x[0], x[1])
		}
	}
	return nil
}

// perSession writes them by conversation.
func (s *markersStatisticsCmd) perSession(
	c *cli, pool *pgxpool.Pool, patterns []queries.Pattern, write func(sender, session, marker, statistic, value string),
) error {
	var sessions []queries.MarkedSession
	if err := queries.MarkedSessions(c.ctx, pool, s.Assistant, time.Now(), func(x queries.MarkedSession) error {
		sessions = append(sessions, x)
		return nil
	}); err != nil {
		return err
	}
	for _, p := range patterns {
		values := make([][][2]string, len(sessions))
		for i, x := range sessions {
			one := metric.MarkerTally{}
			if turns := x.Turns[p.ID]; turns != nil {
				one.Add(p.ID, turns)
			}
			values[i] = statisticsOf(one[p.ID])
			slices.SortFunc(values[i], func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		}
		for k := range statisticsOf(nil) {
			for i, x := range sessions {
				write(x.Sender, strconv.Itoa(x.Index), p.Name, values[i][k][0], values[i][k][1])
			}
		}
	}
	return nil
}

// statisticsOf are what Rasa tells of the messages before each place, by its names.
func statisticsOf(c *metric.MarkerCount) [][2]string {
	count, mean, median, least, most := "0", "nan", "nan", "nan", "nan"
	if c != nil {
		if m, d, l, x, ok := c.Preceding(); ok {
			count, mean, median = strconv.FormatInt(c.Places(), 10), rounded(m), rounded(d)
			least, most = strconv.Itoa(l), strconv.Itoa(x)
		}
	}
	const of = "(number of preceding user turns)"
	return [][2]string{{"count" + of, count}, {"mean" + of, mean}, {"median" + of, median}, {"min" + of, least}, {"max" + of, most}}
}

// rounded writes a number with up to three decimals and at least one.
func rounded(x float64) string {
	text := strconv.FormatFloat(math.RoundToEven(x*1000)/1000, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
