package web

import (
	"net/http"

	"turnwise/doctor"
	"turnwise/views"
)

// doctor answers GET /admin/doctor: what turnwise doctor says, but for the brokers, which only the processes that read
// them know.
func (s *server) doctor(w http.ResponseWriter, r *http.Request) error {
	d, err := doctor.Diagnose(r.Context(), s.Pool, s.Version, s.Now().In(s.Zone))
	if err != nil {
		return err
	}
	m := views.Doctor{Page: s.page(r, "Doctor", "Admin")}
	for _, f := range d.Findings {
		m.Rows = append(m.Rows, views.FindingRow(f))
		if !f.OK {
			m.Look++
		}
	}
	return s.render(w, r, http.StatusOK, views.DoctorPage(m))
}
