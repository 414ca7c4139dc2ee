package report

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"strconv"
	"time"

	"turnwise/queries"
)

// AuditCSV writes the audit log as RFC 4180, times in UTC.
func AuditCSV(w io.Writer, entries iter.Seq2[queries.AuditEntry, error]) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{
		"id", "at", "actor", "actor_id", "address", "act", "object", "object_id", "before", "after", "hash",
	}); err != nil {
		return err
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		actor := ""
		if e.ActorID != nil {
			actor = e.ActorID.String()
		}
		row := []string{
			strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339Nano), e.Actor, actor, e.Address, string(e.Act),
			e.Object, e.ObjectID, string(e.Before), string(e.After), hex.EncodeToString(e.Hash),
		}
		for i := range row {
			row[i] = Safe(row[i])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// AuditJSON writes an object a line.
func AuditJSON(w io.Writer, entries iter.Seq2[queries.AuditEntry, error]) error {
	out := json.NewEncoder(w)
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := out.Encode(struct {
			ID       int64           `json:"id"`
			At       time.Time       `json:"at"`
			Actor    string          `json:"actor"`
			ActorID  any             `json:"actor_id"`
			Address  string          `json:"address"`
			Act      string          `json:"act"`
			Object   string          `json:"object"`
			ObjectID string          `json:"object_id"`
			Before   json.RawMessage `json:"before,omitempty"`
			After    json.RawMessage `json:"after,omitempty"`
			Hash     string          `json:"hash"`
		}{
			e.ID, e.At.UTC(), e.Actor, e.ActorID, e.Address, string(e.Act), e.Object, e.ObjectID, e.Before, e.After,
			hex.EncodeToString(e.Hash),
		}); err != nil {
			return err
		}
	}
	return nil
}
