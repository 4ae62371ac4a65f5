# A trap that met a packet outside the narrowed child fires again when its SA has gone, while traffic goes on.
lab "again" { duration = "10s" }
network "wan" { prefix = "198.51.100.0/24" }
network "lan-a" { prefix = "10.1.0.0/24" }
network "lan-b" { prefix = "10.2.0.0/24" }
network "lan-c" { prefix = "10.2.1.0/24" }
node "gw-a" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.lan-a }
  connection "c" {
    remote_addrs = [node.gw-b.interface.wan]
    child "c" {
      local_ts     = [network.lan-a]
      remote_ts    = ["10.2.0.0/16"]
      start_action = "trap"
    }
  }
}
node "gw-b" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.lan-b }
  interface "lan2" { network = network.lan-c }
  connection "c" {
    remote_addrs = [node.gw-a.interface.wan]
    child "c" {
      local_ts  = [network.lan-b]
      remote_ts = [network.lan-a]
    }
  }
}
node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.lan-a }
}
node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.lan-b }
}
node "host-c" {
  implementation = "host"
  interface "eth0" { network = network.lan-c }
}
secret "psk" { secret = "hello" }
flow "b" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  start    = "1s"
  packets  = 2
}
flow "c" {
  from     = node.host-a
  to       = node.host-c
  protocol = "icmp"
  start    = "3s"
  packets  = 2
}
step "gone" {
  at     = "5s"
  action = terminate(node.gw-b.connection.c)
}
flow "b-again" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "5pps"
  start    = "6s"
  stop     = "9s"
}
expect "the trap fires again" {
  condition = result.flow.b-again.lost == 0 && result.node.gw-a.connection.c.established_count == 2
}
expect "what the peer left no room for is named" {
  condition = result.node.gw-a.dropped == 2 && result.flow.c.received == 0
}
