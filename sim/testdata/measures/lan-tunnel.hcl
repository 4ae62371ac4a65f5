# A gateway with a tunnel over the internet, an administrator's tunnel on its LAN, and a second LAN behind an inner
# router: what comes over the internet for that one is delivered by the LAN.
lab "lan-tunnel" { duration = "10s" }
network "wan" { prefix = "198.51.100.0/24" }
network "a" { prefix = "10.1.0.0/24" }
network "a2" { prefix = "10.1.1.0/24" }
network "b" { prefix = "10.2.0.0/24" }
secret "s" { secret = "x" }
node "gw-a" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.a }
  connection "b" {
    remote_addrs = [node.gw-b.interface.wan]
    child "c" {
      local_ts  = ["10.1.0.0/16"]
      remote_ts = [network.b]
    }
  }
  connection "admin" {
    local_addrs  = [node.gw-a.interface.lan]
    remote_addrs = [node.admin.interface.e]
    child "c" {}
  }
}
node "admin" {
  interface "e" { network = network.a }
  connection "gw" {
    remote_addrs = [node.gw-a.interface.lan]
    child "c" { start_action = "start" }
  }
}
node "core" {
  implementation = "host"
  forward        = true
  interface "l" { network = network.a }
  interface "m" { network = network.a2 }
}
node "gw-b" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.b }
  connection "a" {
    remote_addrs = [node.gw-a.interface.wan]
    child "c" {
      local_ts     = [network.b]
      remote_ts    = ["10.1.0.0/16"]
      start_action = "start"
    }
  }
}
node "hb" {
  implementation = "host"
  interface "e" { network = network.b }
}
node "h2" {
  implementation = "host"
  interface "e" { network = network.a2 }
}
flow "f" {
  from    = node.hb
  to      = node.h2
  start   = "2s"
  packets = 5
}
flow "adm" {
  from     = node.admin
  to       = node.gw-a.interface.lan
  protocol = "icmp"
  start    = "2s"
  packets  = 5
}
