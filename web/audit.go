package web

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// deed is what is written down in the audit log.
type deed struct {
	act           queries.AuditAct
	id, name      string // of what it was done to
	before, after any    // marshalled as JSON
}

// actor is who asks, and from where.
func (s *server) actor(r *http.Request) queries.Actor {
	who := queries.Actor{Address: s.address(r)}
	if u, ok := accountOf(r.Context()); ok {
		who.ID, who.Name = &u.ID, u.Email
	}
	return who
}

// audited does something and writes down who did it: both, or neither. A deed without an act is not written down.
func (s *server) audited(r *http.Request, do func(tx pgx.Tx) (deed, error)) error {
	return s.auditedAs(r, s.actor(r), do)
}

func (s *server) auditedAs(r *http.Request, who queries.Actor, do func(tx pgx.Tx) (deed, error)) error {
	ctx := r.Context()
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		d, err := do(tx)
		if err != nil || d.act == "" {
			return err
		}
		return queries.Record(ctx, tx, who, s.Now(), d.act, d.id, d.name, d.before, d.after)
	})
}

// noted writes down what has no transaction of its own.
func (s *server) noted(r *http.Request, d deed) error {
	return s.audited(r, func(pgx.Tx) (deed, error) { return d, nil })
}

// withoutPeople is a filter as the audit log tells it: what may name a person is told by a pseudonym.
func withoutPeople(f metric.Filter, p queries.Pseudonyms) metric.Filter {
	f.ID, f.Text, f.Person = p.Of(f.ID), p.Of(f.Text), p.Of(f.Person)
	return f
}

const auditPage = 100

// parseAudit reads what the audit log is narrowed by. Days are those of the workspace's zone.
func (s *server) parseAudit(q url.Values) (f queries.AuditFilter, err error) {
	f.Actor, f.Area, f.Object = strings.TrimSpace(q.Get("actor")), q.Get("area"), strings.TrimSpace(q.Get("object"))
	for name, into := range map[string]**time.Time{"from": &f.Since, "until": &f.Until} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, text, s.Zone)
		if err != nil {
			return f, &metric.InputError{Field: name, Msg: "is a day such as 2026-03-31"}
		}
		if name == "until" {
			day = day.AddDate(0, 0, 1)
		}
		*into = &day
	}
	if text := q.Get("before"); text != "" {
		if f.Before, err = strconv.ParseInt(text, 10, 64); err != nil || f.Before < 1 {
			return f, &metric.InputError{Field: "before", Msg: "is the number of an entry"}
		}
	}
	return f, nil
}

// audit answers GET /admin/audit.
func (s *server) audit(w http.ResponseWriter, r *http.Request) error {
	m := views.Audit{}
	if r.URL.Query().Get("said") == "kept" {
		m.Said = "Saved."
	}
	return s.showAudit(w, r, http.StatusOK, m)
}

func (s *server) showAudit(w http.ResponseWriter, r *http.Request, status int, m views.Audit) error {
	ctx, q := r.Context(), r.URL.Query()
	m.Page, m.Areas = s.page(r, "Audit log", "Admin"), views.AuditAreas()
	f, err := s.parseAudit(q)
	if err != nil {
		return err
	}
	list, err := queries.AuditLog(ctx, s.Pool, f, auditPage+1)
	if err != nil {
		return err
	}
	m.Actor, m.Area, m.Object, m.From, m.Until = f.Actor, f.Area, f.Object, q.Get("from"), q.Get("until")
	kept := url.Values{}
	for _, name := range []string{"actor", "area", "object", "from", "until"} {
		if v := q.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	m.Query = kept.Encode()
	if f.Before > 0 {
		m.Newer = "/admin/audit?" + m.Query
	}
	if len(list) > auditPage {
		list = list[:auditPage]
		kept.Set("before", strconv.FormatInt(list[len(list)-1].ID, 10))
		m.Older = "/admin/audit?" + kept.Encode()
	}
	for _, e := range list {
		m.Rows = append(m.Rows, views.AuditRow{
			ID: e.ID, At: e.At, Actor: e.Actor, Address: e.Address, Act: string(e.Act), Object: e.Object,
			ObjectID: e.ObjectID, Change: changeWords(e.Before, e.After),
		})
	}
	users, err := queries.Accounts(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, u := range users {
		m.Actors = append(m.Actors, u.Email)
	}
	set, err := queries.LoadAuditSettings(ctx, s.Pool)
	if err != nil {
		return err
	}
	if set.Days > 0 && m.Error == "" {
		m.Days = strconv.Itoa(set.Days)
	}
	m.Reads = !set.NoReads
	return s.render(w, r, status, views.AuditPage(m))
}

// changeWords says what is different after something was done.
func changeWords(before, after json.RawMessage) string {
	var was, is map[string]any
	if json.Unmarshal(before, &was) != nil && before != nil || json.Unmarshal(after, &is) != nil && after != nil {
		return string(before) + " → " + string(after) // no objects
	}
	text := func(v any) string {
		switch v := v.(type) {
		case nil:
			return "–"
		case string:
			return v
		}
		b, _ := json.Marshal(v) // it was unmarshalled
		return string(b)
	}
	var all []string
	keys := maps.Clone(was)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, is)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		a, b := text(was[k]), text(is[k])
		switch {
		case a == b:
		case was == nil:
			all = append(all, k+": "+b)
		case is == nil:
			all = append(all, k+" was "+a)
		default:
			all = append(all, k+": "+a+" → "+b)
		}
	}
	return strings.Join(all, "; ")
}

// verifyAudit answers POST /admin/audit/verify.
func (s *server) verifyAudit(w http.ResponseWriter, r *http.Request) error {
	m := views.Audit{}
	ctx := r.Context()
	var head queries.AuditHead
	// one moment
	err := pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{
		IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly,
	}, func(tx pgx.Tx) (err error) {
		head, err = queries.VerifyAudit(ctx, tx)
		return err
	})
	var broken *queries.AuditBroken
	switch {
	case errors.As(err, &broken):
		m.Verified, m.Broken = "The log was changed from outside at entry "+strconv.FormatInt(broken.ID, 10)+": "+
			broken.Why+".", true
	case err != nil:
		return err
	default:
		m.Verified = "The chain is whole: " + format.Count(head.ID-head.Gone) + " entries. The last has the number " +
			strconv.FormatInt(head.ID, 10) + " and the hash " + hex.EncodeToString(head.Hash) + "."
	}
	return s.showAudit(w, r, http.StatusOK, m)
}

// keepAudit answers POST /admin/audit/keep.
func (s *server) keepAudit(w http.ResponseWriter, r *http.Request) error {
	days, text := 0, strings.TrimSpace(r.PostFormValue("days"))
	if text != "" {
		var err error
		if days, err = strconv.Atoi(text); err != nil || days < queries.AuditDaysLeast || days > queries.AuditDaysMost {
			return s.showAudit(w, r, http.StatusUnprocessableEntity, views.Audit{
				Days: text, Error: "days: a number from 30 to 36,500; empty: for ever",
			})
		}
	}
	ctx := r.Context()
	u, _ := accountOf(ctx)
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		was, err := queries.LoadAuditSettings(ctx, tx)
		if err != nil {
			return deed{}, err
		}
		now := queries.AuditSettings{Days: days, NoReads: r.PostFormValue("reads") == ""}
		return deed{
			act: queries.AuditSettingsChanged, name: "audit log",
			before: map[string]any{"days": was.Days, "reads": !was.NoReads},
			after:  map[string]any{"days": days, "reads": !now.NoReads},
		}, queries.SetAudit(ctx, tx, now, u.ID, s.Now())
	}); err != nil {
		return err
	}
	s.readers.again()
	http.Redirect(w, r, "/admin/audit?said=kept", http.StatusSeeOther)
	return nil
}

// auditFile answers GET /admin/audit/file.
func (s *server) auditFile(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f, err := s.parseAudit(r.URL.Query())
	if err != nil {
		return err
	}
	as := r.URL.Query().Get("as")
	write, kind := report.AuditCSV, "text/csv; charset=utf-8"
	switch as {
	case "csv":
	case "jsonl":
		write, kind = report.AuditJSON, "application/x-ndjson"
	default:
		return &metric.InputError{Field: "as", Msg: "is one of csv, jsonl"}
	}
	if err := s.noted(r, deed{act: queries.AuditFetched, name: as}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set(
		"Content-Disposition", `attachment; filename="audit_`+s.Now().In(s.Zone).Format("2006-01-02_1504")+"."+as+`"`,
	)
	if err := write(w, queries.EachAudit(ctx, s.Pool, f)); err != nil {
		s.Log.WarnContext(ctx, "a download broke off", "error", err)
		panic(http.ErrAbortHandler) // the file must not look whole
	}
	return nil
}
