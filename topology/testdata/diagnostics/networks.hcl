# Prefixes and addresses.
lab "networks" {}
network "a" { prefix = "10.0.0.0/8" }
network "b" { prefix = "10.1.0.0/16" } # want: Overlapping prefixes: 10.1.0.0/16 of network.b overlaps with 10.0.0.0/8 of network.a
network "c" { prefixes = ["192.0.2.0/24", "192.0.2.128/25"] } # want: Overlapping prefixes
network "d" { prefix = "10.300.0.0/16" } # want: is not a prefix
network "e" { prefix = "172.16.0.1/16" } # want: has bits set behind its length: the prefix is "172.16.0.0/16"
network "f" { prefix = "172.17.0.0" } # want: has no prefix length
network "g" { prefix = 10 } # want: prefix takes a prefix such as "10.1.0.0/16"; this is a number.
network "h" {} # want: Missing prefix
network "i" {
  prefix   = "172.18.0.0/16"
  prefixes = ["172.19.0.0/16"] # want: prefix and prefixes exclude each other
}
network "j" { prefix = "224.0.0.0/8" } # want: multicast
network "k" { prefixes = ["2001:db8:1::/64"] }
network "l" { prefix = "203.0.113.0/30" } # want: Network is full
network "m" { prefixes = "172.20.0.0/16" } # want: prefixes takes a list; write it in brackets: ["172.20.0.0/16"].

node "one" {
  interface "a" {
    network = network.a
    address = "11.0.0.1" # want: 11.0.0.1 is not in network.a
  }
  interface "k" {
    network   = network.k
    addresses = ["10.9.9.9", "2001:db8:1::1", "2001:db8:2::1"] # want: network.k has no IPv4 prefix # want: 2001:db8:2::1 is not in network.k
  }
  interface "c" {
    network = network.c
    address = "192.0.2.0" # want: Address is not for a host
  }
  interface "b" {
    network = network.b
    address = "10.1.0.5/24" # want: Wrong prefix length: network.b has the prefix 10.1.0.0/16
  }
}
node "two" {
  interface "a" {
    network = network.a
    address = "10.0.0.300" # want: is not an address
  }
  interface "l" { network = network.l }
  interface "k" {
    network   = network.k
    address   = "2001:db8:1::5"
    addresses = ["2001:db8:1::6"] # want: address and addresses exclude each other
  }
}
node "three" {
  interface "l" { network = network.l }
  interface "a" {
    network = network.a
    address = "10.0.0.77"
  }
  interface "b" {
    network = network.b
    address = "10.1.0.0/16" # want: Address is not for a host
  }
}
node "four" {
  interface "l" { network = network.l }
  interface "a" {
    network = network.a
    address = "10.0.0.77" # want: Duplicate address 10.0.0.77: node.three.interface.a has it already
  }
  interface "a2" {
    network = network.a # want: Two interfaces in one network
    mtu     = 40 # want: mtu is 40; it lies between 68 and 65535
  }
  interface "k" {
    network = network.k
    address = "2001:db8:1::99"
    mtu     = 1000 # want: An MTU of 1000 bytes is too small for IPv6
  }
  interface "d" { network = network.d }
  interface "e" { network = network.e }
  interface "f" { network = network.f }
  interface "g" { network = network.g }
  interface "h" { network = network.h }
  interface "i" { network = network.i }
  interface "j" { network = network.j }
  interface "m" { network = network.m }
}
node "seven" {
  interface "l" { network = network.l }
  route { # want: Missing to
    via = "203.0.113.1"
  }
}
node "five" { # want: Missing block interface
}
node "six" {
  interface "x" { # want: Missing network
  }
}
