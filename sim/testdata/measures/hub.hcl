# A hub between two sites. With legs = 1 its tunnel covers the way to site A alone, and what comes out of it for site B
# goes on over the internet in clear; with legs = 2 there is a tunnel to either.
lab "hub" { duration = "5s" }
variable "legs" {
  type    = number
  default = 1
}
variable "inside" {
  type    = bool
  default = true
}
variable "port" {
  type    = number
  default = 9
}
network "internet" { prefix = "203.0.113.0/24" }
network "hub" { prefix = "10.1.0.0/24" }
network "site-a" { prefix = "10.1.1.0/24" }
network "site-b" { prefix = "10.1.2.0/24" }
node "hub" {
  forward = true
  interface "wan" { network = network.internet }
  interface "lan" { network = network.hub }
  connection "a" {
    remote_addrs = [node.gw-a.interface.wan]
    child "net" {
      local_ts  = ["10.1.0.0/16"]
      remote_ts = [network.site-a]
    }
  }
  connection "b" {
    remote_addrs = [node.gw-b.interface.wan]
    child "net" {
      local_ts  = [var.legs == 2 ? "10.1.0.0/16" : "10.9.0.0/24"]
      remote_ts = [var.legs == 2 ? "10.1.2.0/24" : "10.9.1.0/24"]
    }
  }
}
node "gw-a" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.site-a }
  connection "hub" {
    remote_addrs = [node.hub.interface.wan]
    child "net" {
      local_ts     = [network.site-a]
      remote_ts    = ["10.1.0.0/16"]
      start_action = "start"
    }
  }
}
node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.site-b }
  connection "hub" {
    remote_addrs = [node.hub.interface.wan]
    child "net" {
      local_ts     = [var.legs == 2 ? "10.1.2.0/24" : "10.9.1.0/24"]
      remote_ts    = [var.legs == 2 ? "10.1.0.0/16" : "10.9.0.0/24"]
      start_action = "start"
    }
  }
}
node "pc-a" {
  implementation = "host"
  interface "eth0" { network = network.site-a }
}
node "pc-b" {
  implementation = "host"
  interface "eth0" { network = network.site-b }
}
node "srv" {
  implementation = "host"
  interface "eth0" { network = network.hub }
}
secret "s" { secret = "hub" }
flow "site-site" {
  from             = node.pc-a
  to               = var.inside ? node.srv : node.pc-b
  protocol         = "udp"
  destination_port = var.port
  size             = 2000
  start            = "2s"
  packets          = 3
}
