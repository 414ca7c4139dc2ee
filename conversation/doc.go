// Package conversation holds the nouns of Turnwise and the rules that turn a sender's events into
// conversations, turns, messages and flow runs. It is pure: no clock, no I/O, no randomness, so that the
// same events end in the same rows whatever way they came. All times are microseconds since 1970 UTC.
package conversation
