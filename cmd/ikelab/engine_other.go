//go:build !linux

package main

// netnsEngine needs what only Linux has.
var netnsEngine = engineChoice{name: "netns", absent: "it runs labs in network namespaces, which need Linux"}
