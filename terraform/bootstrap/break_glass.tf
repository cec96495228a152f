# The only way for a person to raw content: one bucket, for a few hours, with a justification that one of another group
# has approved. Every call is in the audit log and raises an alert (docs/runbooks.md#perimeter-violation). The perimeter
# additionally requires an access level. There is no such way to messages, nor to buckets of other projects.
locals {
  readable_buckets = toset(flatten([for name, stream in module.design.streams : concat([stream.temp_bucket], module.design.claim_checks.own[name])]))
}

resource "google_privileged_access_manager_entitlement" "break_glass" {
  for_each             = local.readable_buckets
  entitlement_id       = "read-${trim(substr(replace(trimprefix(each.value, "${var.raw_project}-"), "/[._]/", "-"), 0, 58), "-")}"
  location             = "global"
  parent               = "projects/${var.raw_project}"
  max_request_duration = "${var.break_glass.hours * 60 * 60}s"

  eligible_users {
    principals = ["group:${var.break_glass.readers}"]
  }
  requester_justification_config {
    unstructured {}
  }
  approval_workflow {
    manual_approvals {
      require_approver_justification = true
      steps {
        approvals_needed          = 1
        approver_email_recipients = [var.break_glass.approvers]
        approvers {
          principals = ["group:${var.break_glass.approvers}"]
        }
      }
    }
  }
  privileged_access {
    gcp_iam_access {
      resource_type = "cloudresourcemanager.googleapis.com/Project"
      resource      = "//cloudresourcemanager.googleapis.com/projects/${var.raw_project}"
      role_bindings {
        role                 = "roles/storage.objectViewer"
        condition_expression = "resource.name == \"projects/_/buckets/${each.value}\" || resource.name.startsWith(\"projects/_/buckets/${each.value}/\")"
      }
    }
  }
  depends_on = [google_project_service.raw]
}
