# The peer narrows the child to itself: packets to its neighbour lie outside, and are named at once.
lab "narrowed" { duration = "8s" }
network "n" { prefix = "192.0.2.0/24" }
node "a" {
  interface "e" { network = network.n }
  connection "b" {
    remote_addrs = [node.b.interface.e]
    child "c" {
      remote_ts    = [network.n]
      start_action = "trap"
    }
  }
}
node "b" {
  interface "e" { network = network.n }
  connection "a" {
    remote_addrs = [node.a.interface.e]
    child "c" {}
  }
}
node "c" {
  interface "e" { network = network.n }
}
secret "s" { secret = "x" }
flow "up" {
  from    = node.a
  to      = node.b
  start   = "1s"
  packets = 2
}
flow "other" {
  from    = node.a
  to      = node.c
  start   = "2s"
  packets = 3
}
expect "the tunnel carries what it has room for, and nothing else" {
  condition = result.flow.up.received == 2 && result.flow.other.received == 0
}
expect "what lies outside is named at once" {
  after     = "6s"
  condition = result.node.a.dropped == 3 && event_count({ event = "policy-drop", node = node.a }) == 3
}
