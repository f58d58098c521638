package main

import (
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

type fields = map[string]*tfbridge.SchemaInfo

// Where the official provider departs from what the bridge derives by itself. The comparison with the Python SDK in
// tests/integration finds names that are missing here; lengths are AWS's limits for the names that it makes up.
var (
	config = fields{
		"region":     {Default: &tfbridge.DefaultInfo{EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}}},
		"access_key": {Secret: tfbridge.True()},
		"secret_key": {Secret: tfbridge.True()},
		"token":      {Secret: tfbridge.True()},
	}

	resources = map[string]*tfbridge.ResourceInfo{
		"aws_cloudwatch_log_resource_policy": {Fields: fields{"policy_document": document()}},
		"aws_cloudwatch_metric_alarm":        {Fields: fields{"alarm_name": tfbridge.AutoName("name", 255, "-")}},
		"aws_default_network_acl":            {Fields: rules()},
		"aws_default_security_group":         {Fields: rules()},
		"aws_dynamodb_table": {Fields: fields{
			"global_secondary_index": {Name: "globalSecondaryIndexes"},
			"local_secondary_index":  {Name: "localSecondaryIndexes"},
		}},
		"aws_ecr_lifecycle_policy":  {Fields: fields{"policy": document()}},
		"aws_ecr_registry_policy":   {Fields: fields{"policy": document()}},
		"aws_ecr_repository":        {Fields: fields{"name": tfbridge.AutoNameTransform("name", 256, strings.ToLower)}},
		"aws_ecr_repository_policy": {Fields: fields{"policy": document()}},
		"aws_eks_cluster": {Fields: fields{
			"name":                  tfbridge.AutoName("name", 100, "-"),
			"certificate_authority": {Name: "certificateAuthority", MaxItemsOne: tfbridge.True()},
		}},
		"aws_iam_instance_profile": {Fields: fields{"name": tfbridge.AutoName("name", 128, "-")}},
		"aws_iam_policy":           {Fields: fields{"name": tfbridge.AutoName("name", 128, "-"), "policy": document()}},
		"aws_iam_role": {Fields: fields{
			"name": tfbridge.AutoName("name", 64, "-"), "assume_role_policy": document(),
		}},
		"aws_iam_role_policy": {Fields: fields{"name": tfbridge.AutoName("name", 128, "-"), "policy": document()}},
		"aws_key_pair":        {Fields: fields{"key_name": tfbridge.AutoName("keyName", 255, "-")}},
		"aws_kms_alias":       {Fields: fields{"name": tfbridge.AutoNameTransform("name", 250, alias)}},
		"aws_lambda_function": {Fields: fields{
			"filename": archive(), "function_name": tfbridge.AutoName("name", 64, "-"),
			"architectures": {MaxItemsOne: tfbridge.False()},
		}},
		"aws_lambda_layer_version": {Fields: fields{"filename": archive()}},
		"aws_lambda_permission":    {Fields: fields{"function_name": {Name: "function"}}},
		"aws_launch_template":      {Fields: fields{"name": tfbridge.AutoName("name", 125, "-")}},
		"aws_s3_bucket": {Fields: fields{
			"bucket": tfbridge.AutoNameTransform("bucket", 63, strings.ToLower), "policy": document(),
		}},
		"aws_s3_bucket_policy": {Fields: fields{"policy": document()}},
		"aws_security_group": {Fields: rules(fields{
			"description": {Default: &tfbridge.DefaultInfo{Value: "Managed by Pulumi"}},
		})},
		"aws_sns_topic":              {Fields: fields{"name": queueName(256, "fifoTopic")}},
		"aws_sns_topic_policy":       {Fields: fields{"policy": document()}},
		"aws_sns_topic_subscription": {Fields: fields{"topic_arn": {Name: "topic"}}},
		"aws_sqs_queue":              {Fields: fields{"name": queueName(80, "fifoQueue")}},
		"aws_sqs_queue_policy":       {Fields: fields{"policy": document()}},
	}
)

// document is a JSON document that may be given as text or as an object.
func document() *tfbridge.SchemaInfo {
	return &tfbridge.SchemaInfo{Transform: tfbridge.TransformJSONDocument}
}

// archive is a file that programs give as an archive; it is zipped for upload.
func archive() *tfbridge.SchemaInfo {
	return &tfbridge.SchemaInfo{Name: "code", Asset: &tfbridge.AssetTranslation{Kind: tfbridge.FileArchive}}
}

// rules keeps the singular names of the two lists of firewall rules.
func rules(more ...fields) fields {
	all := fields{"ingress": {Name: "ingress"}, "egress": {Name: "egress"}}
	for _, one := range more {
		for name, info := range one {
			all[name] = info
		}
	}
	return all
}

// alias is how KMS wants the name of an alias to begin.
func alias(name string) string { return "alias/" + name }

// queueName ends a made-up name with ".fifo" where `flag` says so: AWS refuses it otherwise.
func queueName(length int, flag string) *tfbridge.SchemaInfo {
	const suffix = ".fifo"
	return tfbridge.AutoNameWithCustomOptions("name", tfbridge.AutoNameOptions{
		Separator: "-", Maxlen: length - len(suffix), Randlen: 7,
		PostTransform: func(made *tfbridge.PulumiResource, name string) (string, error) {
			fifo, given := made.Properties[resource.PropertyKey(flag)]
			if given && fifo.IsBool() && fifo.BoolValue() {
				return name + suffix, nil
			}
			return name, nil
		},
	})
}

// computeAllTags makes tagsAll an output only: a program that set it would bypass the provider's default tags.
func computeAllTags(info *tfbridge.ProviderInfo) {
	for name, mapped := range info.Resources {
		schema, known := info.P.ResourcesMap().GetOk(name)
		if !known {
			continue
		}
		if tags, found := schema.Schema().GetOk("tags_all"); found && tags.Optional() {
			if mapped.Fields == nil {
				mapped.Fields = fields{}
			}
			mapped.Fields["tags_all"] = &tfbridge.SchemaInfo{MarkAsComputedOnly: tfbridge.True()}
		}
	}
}
