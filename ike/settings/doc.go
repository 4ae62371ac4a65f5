// Package settings holds the bounds of IPsec's options, each of them once.
//
// The lab language admits what lies within them, and package ike refuses what does
// not, so that a lab that validates is a lab that runs.
//
// It is not for what a peer may cause, which packages ike and wire bound themselves,
// and it knows no HCL.
//
// What must stay true: it imports nothing of ours, and no number here stands anywhere
// else.
package settings
