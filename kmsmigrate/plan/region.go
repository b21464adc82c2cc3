package plan

// countries has the country of each region (regions and zones). Hong Kong is apart: the documents count it neither to the Chinese mainland
// nor let a restore cross from there in the console.
var countries = map[string]string{
	"cn-hangzhou": "cn", "cn-shanghai": "cn", "cn-shenzhen": "cn", "cn-heyuan": "cn", "cn-guangzhou": "cn", "cn-qingdao": "cn", "cn-beijing": "cn",
	"cn-zhangjiakou": "cn", "cn-huhehaote": "cn", "cn-wulanchabu": "cn", "cn-chengdu": "cn", "cn-nanjing": "cn", "cn-fuzhou": "cn",
	"cn-hangzhou-finance": "cn", "cn-shanghai-finance-1": "cn", "cn-shenzhen-finance-1": "cn", "cn-beijing-finance-1": "cn",
	"cn-hongkong":    "hk",
	"ap-southeast-1": "sg", "ap-southeast-2": "au", "ap-southeast-3": "my", "ap-southeast-5": "id", "ap-southeast-6": "ph", "ap-southeast-7": "th",
	"ap-south-1": "in", "ap-northeast-1": "jp", "ap-northeast-2": "kr",
	"eu-central-1": "de", "eu-west-1": "gb", "us-west-1": "us", "us-east-1": "us", "me-east-1": "ae", "me-central-1": "sa",
}

// Mainland reports whether a region is in the Chinese mainland, finance regions included and Hong Kong not.
func Mainland(region string) bool { return countries[region] == "cn" }

// CrossesBorder reports whether a move between two regions leaves the country. A region that is not known is taken to be abroad: to ask for
// an approval too many is the safe mistake.
func CrossesBorder(from, to string) bool {
	if from == to {
		return false
	}
	a, b := countries[from], countries[to]
	return a == "" || b == "" || a != b
}

// KnownRegion reports whether this package knows the country of a region.
func KnownRegion(region string) bool { return countries[region] != "" }
