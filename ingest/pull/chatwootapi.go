package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// biggest is how many bytes an answer may have.
const biggest = 32 << 20

// object is JSON of Chatwoot, of which all is kept.
type object map[string]json.RawMessage

func (o object) number(name string) int64 {
	var f float64
	_ = json.Unmarshal(o[name], &f) // what is no number is none
	return int64(f)
}

// statusError is an answer that is none.
type statusError struct {
	status string
	of     bool // it may be of what was asked for alone
}

func (e *statusError) Error() string { return "the Chatwoot server answers " + e.status }

// errNone says that there is no such thing.
var errNone = errors.New("there is none")

// get asks for a path of the account. It waits by wait, where it is told to.
func (c *ChatwootConsumer) get(
	ctx context.Context, path string, into any, wait func(context.Context, time.Duration) error,
) error {
	to := fmt.Sprintf("%s/api/v1/accounts/%d/%s", c.cfg.URL, c.cfg.Account, path)
	for tries := 1; ; tries++ {
		pause, err := c.try(ctx, to, into)
		if pause == 0 || tries == 5 {
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// try asks once; wait says that it may be asked again, after that long.
func (c *ChatwootConsumer) try(ctx context.Context, to string, into any) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return 0, errors.New("the address cannot be read")
	}
	req.Header.Set("api_access_token", c.cfg.Token) //nolint:canonicalheader // that is how Chatwoot has it
	req.Header.Set("Accept", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		var said struct {
			Error string `json:"error"`
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is not Chatwoot's
		if json.Unmarshal(body, &said) != nil || said.Error == "" {
			return 0, errors.New("the Chatwoot server answers 404 Not Found, but not as Chatwoot does: check the URL, and what stands before it")
		}
		return 0, errNone
	case http.StatusUnauthorized, http.StatusForbidden:
		return 0, fmt.Errorf("the Chatwoot server answers %s: check the token, and that it is of this account", resp.Status)
	case http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // else as below
		return time.Duration(min(max(seconds, 5), 120)) * time.Second, errors.New("the Chatwoot server says that these are too many requests: lower per_minute")
	default:
		return 0, &statusError{resp.Status, resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusBadGateway}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, biggest+1))
	if err != nil {
		return 0, err
	}
	if len(body) > biggest {
		return 0, errors.New("the Chatwoot server answers with more than 32 MiB")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return 0, errors.New("the Chatwoot server answers with something else than its API does: check the URL")
	}
	return 0, nil
}

// Orders of lists: the latest first.
const (
	byActivity = "last_activity_at"
	byCreation = "created_at"
)

// list returns a page of the conversations in an order.
func (c *ChatwootConsumer) list(
	ctx context.Context, order string, page int, wait func(context.Context, time.Duration) error,
) ([]object, error) {
	var answer struct {
		Data struct {
			Payload []object `json:"payload"`
		} `json:"data"`
	}
	err := c.get(
		ctx, fmt.Sprintf("conversations?status=all&assignee_type=all&sort_by=%s_desc&page=%d", order, page), &answer, wait,
	)
	if errors.Is(err, errNone) {
		err = errors.New("there is no such account, or the URL is not that of Chatwoot")
	}
	return answer.Data.Payload, err
}
