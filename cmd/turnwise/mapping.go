package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/ingest/mapped"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
	"turnwise/queries"
	"turnwise/views"
	"turnwise/web"
)

// mappingFile reads a mapping: one that comes with Turnwise, by its name, or a file.
func mappingFile(name string) (*mapped.File, error) {
	text, ok := mapped.ShippedText(name)
	if !ok {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf(
				"%s is neither a file nor a mapping that comes with Turnwise; there is %s", name,
				strings.Join(mapped.Shipped(), ", "),
			)
		}
	}
	f, err := mapped.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// startMapping returns a mapping that is ready to run, and what ends it. at is the time of events that tell none.
func startMapping(name, at string) (*ingest.Mapping, func(), error) {
	f, err := mappingFile(name)
	if err != nil {
		return nil, nil, err
	}
	return startFile(f, name, at)
}

// replayMapping is the mapping by which a body should have become events: that of a webhook, as it is now, or another.
func replayMapping(ctx context.Context, db queries.DB, name string) (*ingest.Mapping, func(), error) {
	id, err := conversation.ParseUUID(name)
	if err != nil {
		return startMapping(name, "")
	}
	hook, err := queries.WebhookByID(ctx, db, id)
	if err != nil {
		return nil, nil, err
	}
	f, err := mapped.Parse([]byte(hook.Mapping))
	if err != nil {
		return nil, nil, err
	}
	return startFile(f, name, "")
}

func startFile(f *mapped.File, name, at string) (*ingest.Mapping, func(), error) {
	plain := mapped.NewRunner(f, "")
	defer plain.Close()
	if err := f.RunTests(plain); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	r := mapped.NewRunner(f, at)
	return &ingest.Mapping{Name: name, Map: r.Map, Settings: f.Settings()}, r.Close, nil
}

// mapping is that of an import of a file, nil for none. What tells no time has that of the file, so that importing it
// again is safe.
func (i *importCmd) mapping(name string) (*ingest.Mapping, func(), error) {
	if i.Mapping == "" {
		return nil, func() {}, nil
	}
	at := time.Now()
	if info, err := os.Stat(name); err == nil && name != "-" {
		at = info.ModTime()
	}
	if i.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, i.At); err != nil {
			if at, err = time.Parse(time.DateOnly, i.At); err != nil {
				return nil, nil, errors.New("--at is a day, such as 2026-11-20, or a time, such as 2026-11-20T09:00:00Z")
			}
		}
	}
	return startMapping(i.Mapping, at.UTC().Format(time.RFC3339))
}

// mappings are those of webhooks, for the pages.
type mappings struct{ history *intake.History }

// previewTime bounds how long a preview looks at what was stored.
const previewTime = 10 * time.Second

func (m mappings) Preview(ctx context.Context, hook queries.Webhook) (web.MapPreview, error) {
	p, err := m.history.Preview(ctx, hook, time.Now().Add(previewTime))
	return web.MapPreview(p), err
}

func (mappings) Shipped() []views.ShippedMapping {
	var signed, others []views.ShippedMapping // first those whose platform signs what it sends to a webhook
	for _, name := range mapped.Shipped() {
		f, err := mappingFile(name)
		if err != nil {
			continue // a test reads each of them
		}
		x := views.ShippedMapping{Name: name, Description: f.Description}
		if f.Verify.Needs() {
			signed = append(signed, x)
		} else {
			others = append(others, x)
		}
	}
	return append(signed, others...)
}

func (mappings) Text(name string) (string, bool) {
	text, ok := mapped.ShippedText(name)
	return string(text), ok
}

func (mappings) Check(text string) (secret bool, err error) {
	f, err := mapped.Parse([]byte(text))
	if err != nil {
		return false, err
	}
	r := mapped.NewRunner(f, "")
	defer r.Close()
	return f.Verify.Needs(), f.RunTests(r)
}

func (mappings) Try(text string, bodies [][]byte) ([]web.Tried, error) {
	f, err := mapped.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	r := mapped.NewRunner(f, "")
	defer r.Close()
	all := make([]web.Tried, len(bodies))
	for i, body := range bodies {
		m := r.Map(string(body))[0]
		if all[i].Events = m.Events; m.Reject != nil {
			all[i].Reason = m.Reject.Detail
		} else {
			all[i].Reason = refused(m.Events)
		}
	}
	return all, nil
}

// refused says of the first event that Turnwise would not take why it would not; "" when it takes all.
func refused(events []string) string {
	d := neutral.NewDecoder()
	for i, e := range events {
		if _, rej := d.Decode(e, wire.Intake{Assistant: "any"}, time.Now()); rej != nil {
			return fmt.Sprintf("event %d: %s", i+1, rej.Detail)
		}
	}
	return ""
}

type mappingCmd struct {
	List mappingListCmd `cmd:"" help:"List the mappings that come with Turnwise."`
	Show mappingShowCmd `cmd:"" help:"Print a mapping that comes with Turnwise, to begin one of your own with."`
	Test mappingTestCmd `cmd:"" help:"Run the tests of a mapping, and print the events that it makes of what it reads."`
}

type mappingListCmd struct{}

func (mappingListCmd) Run(c *cli) error {
	for _, name := range mapped.Shipped() {
		f, err := mappingFile(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%-18s %s\n", name, f.Description)
	}
	return nil
}

type mappingShowCmd struct {
	Name string `arg:"" help:"Its name."`
}

func (m mappingShowCmd) Run(c *cli) error {
	text, ok := mapped.ShippedText(m.Name)
	if !ok {
		return fmt.Errorf("there is no mapping %s; there is %s", m.Name, strings.Join(mapped.Shipped(), ", "))
	}
	_, err := c.stdout.Write(text)
	return err
}

type mappingTestCmd struct {
	Mapping string `arg:"" help:"Name of a mapping that comes with Turnwise, or a file." placeholder:"NAME|FILE"`
	Body    string `arg:"" optional:"" help:"File with a body; - is standard input." placeholder:"BODY"`
}

func (m mappingTestCmd) Run(c *cli) error {
	f, err := mappingFile(m.Mapping)
	if err != nil {
		return err
	}
	r := mapped.NewRunner(f, "")
	defer r.Close()
	if err := f.RunTests(r); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "%s, version %d: %d tests passed\n", f.Name, f.Version, len(f.Tests))
	if m.Body == "" {
		return nil
	}
	in := io.Reader(os.Stdin)
	if m.Body != "-" {
		file, err := os.Open(m.Body)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	body, err := io.ReadAll(io.LimitReader(in, mapped.MaxInput+1))
	if err != nil {
		return err
	}
	made := r.Map(string(body))[0]
	if made.Reject != nil {
		return errors.New(made.Reject.Detail)
	}
	events := made.Events
	if len(events) == 0 {
		fmt.Fprintln(c.stderr, "The mapping passes over this body.")
	}
	for _, e := range events {
		fmt.Fprintln(c.stdout, e)
	}
	if why := refused(events); why != "" {
		return errors.New(why)
	}
	return nil
}
