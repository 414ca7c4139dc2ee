package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// masking answers GET /admin/masking.
func (s *server) masking(w http.ResponseWriter, r *http.Request) error {
	rules, err := queries.MaskingRules(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	said := map[string]string{
		"kept": "The rules are kept. What is shown follows them with the next click, what arrives within ten seconds.",
		"run": "What is stored is being masked in the background; it begins in two minutes, when every server " +
			"knows the rules.",
	}[r.URL.Query().Get("said")]
	if said != "" && !rules.OnArrival && !rules.OnDisplay && r.URL.Query().Get("said") == "kept" {
		said = "The rules are kept, but nothing is masked by them: choose when they are to be used."
	}
	return s.showMasking(w, r, http.StatusOK, views.Masking{Form: maskingForm(rules), Said: said})
}

func maskingForm(m queries.Masking) views.MaskingForm {
	f := views.MaskingForm{
		OnArrival: m.OnArrival, OnDisplay: m.OnDisplay, Email: m.Email, Phone: m.Phone, IBAN: m.IBAN, Card: m.Card,
		IP: m.IP, Slots: strings.Join(m.Slots, "\n"),
	}
	for _, p := range m.Patterns {
		f.Patterns += p.Name + ": " + p.Expr + "\n"
	}
	return f
}

func (s *server) showMasking(w http.ResponseWriter, r *http.Request, status int, m views.Masking) error {
	ctx := r.Context()
	m.Page = s.page(r, "Masking", "Admin")
	runs, err := queries.FoldRuns(ctx, s.Pool, queries.FoldToMask)
	if err != nil {
		return err
	}
	for _, x := range runs {
		m.Runs = append(m.Runs, views.MaskingRunRow{FoldRunRow: s.foldRow(x), Events: x.Events, Others: x.Others})
		m.Running = m.Running || x.EndedAt == nil
	}
	return s.render(w, r, status, views.MaskingPage(m))
}

// keepMasking answers POST /admin/masking: keeps the rules, or tries them on a text.
func (s *server) keepMasking(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	m, err := parseMasking(r)
	var masker *mask.Masker
	if err == nil {
		masker, err = checkMasking(m.Rules)
	}
	form := maskingForm(m)
	form.Patterns, form.Slots, form.Sample = r.PostFormValue("patterns"), r.PostFormValue("slots"),
		r.PostFormValue("sample")
	if err != nil {
		return s.showMasking(w, r, http.StatusUnprocessableEntity, views.Masking{Form: form, Error: err.Error()})
	}
	if r.PostFormValue("try") != "" {
		tried, _ := masker.Text(form.Sample)
		return s.showMasking(w, r, http.StatusOK, views.Masking{Form: form, Tried: tried})
	}
	u, _ := accountOf(ctx)
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		was, err := queries.MaskingRules(ctx, tx)
		if err != nil {
			return deed{}, err
		}
		return deed{
			act: queries.AuditSettingsChanged, name: "masking", before: was, after: m,
		}, queries.SetMasking(ctx, tx, m, u.ID, s.Now())
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/masking?said=kept", http.StatusSeeOther)
	return nil
}

// checkMasking tells what is wrong with rules.
func checkMasking(r mask.Rules) (*mask.Masker, error) {
	m, err := mask.New(r)
	if err == nil {
		err = mask.Measure(r)
	}
	if err != nil {
		return nil, &metric.InputError{Field: "rules", Msg: err.Error()}
	}
	return m, nil
}

// parseMasking reads the form of the rules: a pattern or a slot a line.
func parseMasking(r *http.Request) (m queries.Masking, err error) {
	if err := r.ParseForm(); err != nil {
		return m, &metric.InputError{Field: "form", Msg: "is too large"}
	}
	on := func(name string) bool { return r.PostForm.Get(name) == "yes" }
	m.OnArrival, m.OnDisplay = on("arrival"), on("display")
	m.Email, m.Phone, m.IBAN, m.Card, m.IP = on("email"), on("phone"), on("iban"), on("card"), on("ip")
	n := 0
	for line := range strings.Lines(r.PostForm.Get("patterns")) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, expr, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(expr) == "" {
			return m, &metric.InputError{
				Field: "patterns",
				Msg:   fmt.Sprintf(`stand one a line, as in "customer number: \bK-\d{6}\b"; line %d is none`, n),
			}
		}
		m.Patterns = append(m.Patterns, mask.Pattern{Name: strings.TrimSpace(name), Expr: strings.TrimSpace(expr)})
	}
	for line := range strings.Lines(r.PostForm.Get("slots")) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(m.Slots, line) {
			m.Slots = append(m.Slots, line)
		}
	}
	return m, nil
}

// maskStored answers POST /admin/masking/run: masks what is stored, by the rules that are kept.
func (s *server) maskStored(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	rules, err := queries.MaskingRules(ctx, s.Pool)
	if err != nil {
		return err
	}
	refuse := func(why string) error {
		return s.showMasking(w, r, http.StatusUnprocessableEntity, views.Masking{Form: maskingForm(rules), Error: why})
	}
	if r.PostFormValue("sure") != "yes" {
		return refuse("Tick that you know that it cannot be undone.")
	}
	if rules.Key == nil {
		return refuse("Keep the rules first.")
	}
	u, _ := accountOf(ctx)
	id := queries.NewID()
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		if err := queries.StartFold(
			ctx, tx, queries.FoldRun{ID: id, Kind: queries.FoldToMask, AccountID: &u.ID, CreatedAt: s.Now()}, &rules,
		); err != nil {
			return deed{}, err
		}
		return deed{act: queries.AuditMasked, id: id.String(), after: rules.Rules}, s.Jobs.AddLater(
			ctx, tx, jobs.FoldArgs{ID: id.String()}, s.Now().Add(jobs.SettledAfter),
		)
	})
	if errors.Is(err, queries.ErrConflict) {
		return refuse("It is under way.")
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/masking?said=run", http.StatusSeeOther)
	return nil
}
