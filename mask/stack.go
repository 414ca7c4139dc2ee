package mask

import (
	"encoding/json"
	"strings"
)

// frame are the members of a frame of the dialogue stack, and of a patch to it, that name something.
var frame = map[string]bool{
	"op": true, "path": true, "from": true, "type": true, "frame_id": true, "frame_type": true, "flow_id": true,
	"step_id": true, "agent_id": true, "state": true,
	"utter": true, "collect": true, "collect_action": true, "canceled_name": true, "previous_flow_name": true,
}

// patched masks a patch to the dialogue stack, or a frame of it, but for what it names.
func (m *Masker) patched(v any, n *int) any {
	switch x := v.(type) {
	case string:
		masked, found := m.Text(x)
		*n += found
		return masked
	case json.Number:
		masked, found := m.JSON(x.String(), nil)
		if found > 0 {
			*n += found
			return strings.Trim(masked, `"`)
		}
	case []any:
		for i := range x {
			x[i] = m.patched(x[i], n)
		}
	case map[string]any:
		*n += m.values(x, framed, nil)
		path, isPatch := x["path"].(string)
		for key, y := range x {
			name := key
			if isPatch && key == "value" {
				name = path[strings.LastIndexByte(path, '/')+1:] // of the member that it is for
			}
			switch _, text := y.(string); {
			case text && frame[name]:
			case name != key && m.slots[name] && y != nil:
				if token := slotToken(name); y != token {
					x[key] = token
					*n++
				}
			default:
				x[key] = m.patched(y, n)
			}
		}
	}
	return v
}

// Stack masks a dialogue stack, which is JSON, but for what it names.
func (m *Masker) Stack(text string) string {
	n := 0
	v := decoded(text)
	if m == nil || v == nil {
		return text
	}
	if v = m.patched(v, &n); n > 0 {
		if out, ok := encoded(v); ok {
			return out
		}
	}
	return text
}
