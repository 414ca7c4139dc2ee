package queries

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"turnwise/conversation"
)

// uuidValue lets pgx write a conversation.UUID.
type uuidValue conversation.UUID

// UUIDValue is what pgx asks for.
func (u uuidValue) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: u, Valid: true}, nil }

type encodeUUID struct{ next pgtype.EncodePlan }

func (e *encodeUUID) SetNext(next pgtype.EncodePlan) { e.next = next }

func (e *encodeUUID) Encode(value any, buf []byte) ([]byte, error) {
	return e.next.Encode(uuidValue(value.(conversation.UUID)), buf)
}

// registerUUID has a connection take a conversation.UUID as a uuid, which pgx would take for an array of bytes.
func registerUUID(_ context.Context, conn *pgx.Conn) error {
	m := conn.TypeMap()
	m.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{
		func(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
			u, ok := value.(conversation.UUID)
			if !ok {
				return nil, nil, false
			}
			return &encodeUUID{}, uuidValue(u), true
		},
	}, m.TryWrapEncodePlanFuncs...)
	return nil
}
