# Quantities without, or with the wrong unit.
lab "units" {
  duration = 40 # want: duration has no unit: give a unit, e.g. "40s".
  seed     = -1 # want: seed is -1; it lies between 0 and
}
network "lan" { prefix = "10.1.0.0/16" }
link "a" {
  delay = "40" # want: "40" has no unit: give a unit, e.g. "40s"
  rate  = "80" # want: "80" has no unit: give a unit, e.g. "80mbit"
  queue = { limit = 100 } # want: limit has no unit
  loss  = { p = 5 } # want: p is 5; it lies between 0 and 1. A percentage is divided by 100: write 0.05.
}
link "b" {
  delay = "4 sec" # want: there is no unit "sec": write "4s"
  rate  = "80MB" # want: "MB" counts bytes: a rate is in bits
  queue = { limit = "100pkts" } # want: is not a duration
  loss  = { p = "5%" } # want: write 5 % as 0.05
  mtu   = "1400" # want: mtu takes a whole number of bytes; this is a string
}
link "c" {
  delay = "-4ms" # want: it cannot be negative
  rate  = "50pps" # want: a link's rate is in bits
  queue = { limit = "0p" } # want: it lies between 1p and
  loss  = { p = -0.1 } # want: p is -0.1; it lies between 0 and 1
  mtu   = 70000 # want: it lies between 68 and 65535
}
link "d" {
  delay = "2h" # want: delay is 2h0m0s; it is at most 1h0m0s
  rate  = "0mbit" # want: rate is 0 bit/s
  jitter = { sigma = "2mbit" } # want: "mbit" is no unit of time
}
link "e" {
  delay  = "1d" # want: there is no unit "d": the longest is the hour, "24h"
  rate   = 5 # want: rate has no unit
  jitter = { sigma = 2 } # want: sigma has no unit: give a unit, e.g. "2s"
}
link "f" {
  delay = "soon" # want: "soon" is not a duration
  rate  = "8mbps" # want: is ambiguous
}
link "g" {
  rate = "80 mhz" # want: there is no unit "mhz" for a rate
  mtu  = 1400.5 # want: mtu takes a whole number
}
node "a" {
  interface "eth0" {
    network = network.lan
    link    = { delay = 35 } # want: delay has no unit: give a unit, e.g. "35s"
    up      = "no" # want: up takes true or false without quotes; write false.
  }
}
node "b" {
  interface "eth0" {
    network = network.lan
    link    = [link.a, link.b, link.c, link.d, link.e, link.f, link.g] # want: link needs one link, not a collection
  }
}
flow "a" {
  from  = node.a
  to    = node.b
  rate  = 50 # want: rate has no unit: give a unit, e.g. "50pps"
  size  = "200ms" # want: there is no unit "ms" for a size
  start = 2 # want: start has no unit: give a unit, e.g. "2s"
}
flow "b" {
  from  = node.a
  to    = node.b
  rate  = "50" # want: "50" has no unit
  size  = 100000 # want: size is 100000; it lies between 20 and 65507
  start = "2s"
  stop  = true # want: stop takes a duration with a unit
}
flow "c" {
  from    = node.a
  to      = node.b
  rate    = "0pps" # want: a flow needs a positive rate
  size    = "64b" # want: there is no unit "b" for a size
  packets = 0 # want: packets is 0; it lies between 1 and
}
flow "d" {
  from = node.a
  to   = node.b
  rate = "50fps" # want: there is no unit "fps" for a flow's rate
  size = "1MBit" # want: "MBit" counts bits
}
flow "e" {
  from = node.a
  to   = node.b
  size = -5 # want: size is -5; it lies between 20 and 65507
}
flow "f" {
  from = node.a
  to   = node.b
  rate = "100gbit" # want: Rate too high
}
expect "d" {
  condition = result.flow.a.longest_gap < duration(2) # want: a text with a unit is needed here
}
expect "s" {
  condition = result.flow.a.longest_gap < duration("2") # want: "2" has no unit
  within    = 5 # want: within has no unit
}
