# Two policies match, and the first in the file decides, whichever tunnel stands (RFC 4301, section 4.4.1): the
# database has its own gateway, everything else goes to another one.
lab "order" { duration = "5s" }
variable "first" {
  type    = string
  default = "db"
}
locals {
  ts = { db = "10.2.0.0/24", all = "0.0.0.0/0" }
  gw = { db = "198.51.100.2", all = "198.51.100.3" }
}
network "wan" { prefix = "198.51.100.0/24" }
network "lan-a" { prefix = "10.1.0.0/24" }
network "lan-b" { prefix = "10.2.0.0/24" }
node "gw-a" {
  interface "wan" {
    network = network.wan
    address = "198.51.100.1"
  }
  interface "lan" {
    network = network.lan-a
    address = "10.1.0.1"
  }
  connection "first" {
    remote_addrs = [local.gw[var.first]]
    child "net" {
      local_ts     = ["10.1.0.0/24"]
      remote_ts    = [local.ts[var.first]]
      start_action = "trap"
    }
  }
  connection "second" {
    remote_addrs = [var.first == "db" ? local.gw.all : local.gw.db]
    child "net" {
      local_ts     = ["10.1.0.0/24"]
      remote_ts    = [var.first == "db" ? local.ts.all : local.ts.db]
      start_action = "start"
    }
  }
}
node "gw-b" {
  interface "wan" {
    network = network.wan
    address = "198.51.100.2"
  }
  interface "lan" {
    network = network.lan-b
    address = "10.2.0.1"
  }
  connection "db" {
    remote_addrs = ["198.51.100.1"]
    child "db" {
      local_ts  = ["10.2.0.0/24"]
      remote_ts = ["10.1.0.0/24"]
    }
  }
}
node "gw-c" {
  interface "wan" {
    network = network.wan
    address = "198.51.100.3"
  }
  connection "all" {
    remote_addrs = ["198.51.100.1"]
    child "all" {
      local_ts  = ["0.0.0.0/0"]
      remote_ts = ["10.1.0.0/24"]
    }
  }
}
node "host-a" {
  implementation = "host"
  interface "eth0" {
    network = network.lan-a
    address = "10.1.0.7"
  }
  route {
    to  = "0.0.0.0/0"
    via = "10.1.0.1"
  }
}
node "host-b" {
  implementation = "host"
  interface "eth0" {
    network = network.lan-b
    address = "10.2.0.7"
  }
}
secret "psk" { secret = "hello" }
flow "db" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  start    = "2s"
  packets  = 2
}
expect "the first policy decides" {
  condition = alltrue([
    result.node.gw-a.connection.first.child.net.packets_out == 2, result.node.gw-a.connection.second.child.net.packets_out == 0,
    result.node.gw-a.connection.second.established,
  ])
}
expect "the database answers by its own gateway alone" {
  condition = result.flow.db.received == (var.first == "db" ? 2 : 0)
}
