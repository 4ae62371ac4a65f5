# IKE and ESP of two nodes that protect everything between them, over a line that takes 400 bytes at a time and lets
# some of them overtake others.
lab "fragments" { duration = "8s" }
variable "v6" {
  type    = bool
  default = false
}
variable "encap" {
  type    = bool
  default = false
}
network "a" { prefixes = [var.v6 ? "2001:db8:a::/64" : "203.0.113.0/24"] }
network "b" { prefixes = [var.v6 ? "2001:db8:b::/64" : "198.51.100.0/24"] }
node "client" {
  interface "wan" {
    network = network.a
    mtu     = var.v6 ? 1280 : 400
  }
  connection "gw" {
    remote_addrs = [node.gw.interface.wan]
    encap        = var.encap
    child "host" { start_action = "start" }
  }
}
node "router" {
  implementation = "host"
  forward        = true
  interface "in" { network = network.a }
  interface "out" {
    network = network.b
    mtu     = var.v6 ? 1280 : 300
    link    = { delay = "5ms", reorder = 0.5 }
  }
}
node "gw" {
  interface "wan" { network = network.b }
  connection "any" {
    encap = var.encap
    child "host" {}
  }
}
secret "k" { secret = "in pieces" }
flow "big" {
  from     = node.client
  to       = node.gw
  protocol = "icmp"
  size     = 2000
  start    = "4s"
  packets  = 3
}
