# A gateway takes any peer, and protects what comes from one port. Only a datagram's first fragment shows it: the others
# must not pass it by.
lab "ports" { duration = "6s" }
network "wan" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/24" }
secret "s" { secret = "x" }
node "c" {
  interface "wan" { network = network.wan }
  connection "g" {
    remote_addrs = [node.g.interface.wan]
    child "k" {
      remote_ts    = ["10.2.0.0/24[udp/9]"]
      start_action = "start"
    }
  }
}
node "g" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.b }
  connection "any" {
    child "k" { local_ts = ["10.2.0.0/24[udp/9]"] }
  }
}
node "h" {
  implementation = "host"
  interface "e" { network = network.b }
}
flow "f" {
  from        = node.h
  to          = node.c
  source_port = 9
  size        = 4000
  start       = "2s"
  packets     = 5
}
