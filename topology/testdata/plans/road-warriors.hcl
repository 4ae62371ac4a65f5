# count and for_each everywhere they may stand, IPv4 and IPv6.
lab "road-warriors" { duration = "10s" }

variable "clients" {
  type        = number
  default     = 3
  description = "How many road warriors there are."
  validation {
    condition     = var.clients > 0
    error_message = "there must be at least one client, not ${var.clients}"
  }
}

locals {
  sites = { berlin = 10, paris = 20 }
}

network "internet" { prefixes = ["198.51.100.0/24", "2001:db8::/64"] }
network "office" { prefixes = ["10.0.0.0/16", "2001:db8:1::/64"] }
network "site" {
  for_each = local.sites
  prefix   = cidrsubnet("10.128.0.0/9", 8, each.value)
}

link "access" {
  count = 2
  delay = "${(count.index + 1) * 10}ms"
}

node "gw" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.office }
  connection "clients" {
    local { id = "gw.example.org" }
    child "net" {
      local_ts = [network.office]
    }
  }
}
node "client" {
  count = var.clients
  interface "wan" {
    network = network.internet
    link    = link.access[count.index % length(link.access)]
  }
  connection "office" {
    remote_addrs = [node.gw.interface.wan]
    local { id = "client-${count.index}@example.org" }
    remote { id = "gw.example.org" }
    child "net" {
      remote_ts    = [network.office]
      start_action = "start"
    }
  }
}
node "router" {
  for_each = local.sites
  interface "wan" { network = network.internet }
  interface "lan" { network = network.site[each.key] }
  route {
    to  = "default"
    via = node.gw.interface.wan
  }
}
node "pbx" {
  implementation = "host"
  interface "eth0" { network = network.office }
}
secret "client" {
  count  = var.clients
  ids    = ["client-${count.index}@example.org"]
  secret = "secret of ${count.index}"
}
flow "call" {
  count = var.clients
  from  = node.client[count.index]
  to    = node.pbx
  rate  = "50pps"
  start = "${1 + count.index * 0.25}s"
}
step "cut" {
  count  = 2
  at     = "${5 + count.index}s"
  action = link_down(node.client[count.index].interface.wan)
}
expect "client" {
  count     = var.clients
  condition = result.flow.call[count.index].received > 10
}
expect "all are up" {
  condition     = alltrue([for c in result.node.client : c.connection.office.established])
  error_message = "up: ${join(", ", [for i, c in result.node.client : "${i}" if c.connection.office.established])}"
}
expect "addresses differ" {
  condition = length(distinct([for c in node.client : c.interface.wan.address])) == sum([for f in result.flow.call : 1])
}
