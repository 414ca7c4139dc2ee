package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"turnwise/access"
	"turnwise/web"
)

// signInFlags are the settings of single sign-on.
type signInFlags struct {
	Issuer     string   `name:"oidc-issuer" env:"TURNWISE_OIDC_ISSUER" help:"Address of an OpenID Connect provider for single sign-on; default: none." placeholder:"URL"`
	ClientID   string   `name:"oidc-client-id" env:"TURNWISE_OIDC_CLIENT_ID" help:"What the provider knows this server as." placeholder:"ID"`
	Secret     string   `name:"oidc-client-secret" env:"TURNWISE_OIDC_CLIENT_SECRET" help:"Secret that the provider gave." placeholder:"TEXT"`
	SecretFile string   `name:"oidc-client-secret-file" env:"TURNWISE_OIDC_CLIENT_SECRET_FILE" help:"File that holds it." placeholder:"FILE" type:"path"`
	Name       string   `name:"oidc-name" env:"TURNWISE_OIDC_NAME" default:"single sign-on" help:"What the button calls the provider (${default})."`
	Scopes     []string `name:"oidc-scopes" env:"TURNWISE_OIDC_SCOPES" help:"Scopes to ask for beside openid, email and profile, such as groups." placeholder:"SCOPE"`
	Groups     string   `name:"oidc-groups-claim" env:"TURNWISE_OIDC_GROUPS_CLAIM" default:"groups" help:"Claim of the ID token that lists the groups (${default})."`
	Roles      []string `name:"oidc-roles" env:"TURNWISE_OIDC_ROLES" help:"Roles of groups, as in staff=viewer,leads=supervisor; they are given anew at each sign-in. Default: admins give roles." placeholder:"GROUP=ROLE"`
	Role       string   `name:"oidc-default-role" env:"TURNWISE_OIDC_DEFAULT_ROLE" enum:",viewer,reviewer,supervisor,admin" default:"" help:"Role of who is in none of these groups, or new; default: they may not sign in." placeholder:"ROLE"`
	TrustEmail bool     `name:"oidc-trust-email" env:"TURNWISE_OIDC_TRUST_EMAIL" help:"Addresses of new users count though the provider does not say (email_verified) that it checked them."`
	Only       bool     `name:"oidc-only" env:"TURNWISE_OIDC_ONLY" help:"No sign-in with passwords. turnwise user link lets somebody in when the provider does not."`
}

// sso returns what the flags say; nil for no single sign-on.
func (f *signInFlags) sso() (*web.SSO, error) {
	if f.Issuer == "" {
		if f.Only {
			return nil, errors.New("--oidc-only shuts everybody out without --oidc-issuer")
		}
		return nil, nil
	}
	o := &web.SSO{
		Issuer: f.Issuer, ClientID: f.ClientID, Secret: f.Secret, Name: f.Name, Scopes: f.Scopes, Groups: f.Groups,
		Role: f.Role, TrustEmail: f.TrustEmail, Only: f.Only,
	}
	if f.SecretFile != "" {
		b, err := os.ReadFile(f.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
		o.Secret = strings.TrimSpace(string(b))
	}
	if o.ClientID == "" {
		return nil, errors.New("--oidc-client-id is needed for single sign-on")
	}
	if !strings.HasPrefix(o.Issuer, "https://") && !strings.HasPrefix(o.Issuer, "http://127.0.0.1") &&
		!strings.HasPrefix(o.Issuer, "http://localhost") {
		return nil, fmt.Errorf("--oidc-issuer: %q does not begin with https://", o.Issuer)
	}
	for _, r := range f.Roles {
		i := strings.LastIndexByte(r, '=')
		if i <= 0 || !slices.Contains(access.Roles, r[i+1:]) {
			return nil, fmt.Errorf(
				"--oidc-roles: %q is not a group, = and one of %s", r, strings.Join(access.Roles, ", "),
			)
		}
		o.Roles = append(o.Roles, web.GroupRole{Group: r[:i], Role: r[i+1:]})
	}
	return o, nil
}
